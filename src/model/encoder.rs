//! From text to the windows of tokens that an engine reads.

use tokenizers::Tokenizer;

use super::{Bundle, BundleError};
use crate::ticket::sentences::sentences;

/// The bundle's tokenizer. Shared by all threads.
pub struct TextEncoder {
    tokenizer: Tokenizer,
    start: u32,
    end: u32,
    room: usize,
}

impl TextEncoder {
    /// Loads the bundle's tokenizer.
    ///
    /// # Errors
    /// When `tokenizer.json` is malformed or lacks BERT's marks for start and end.
    pub fn open(bundle: &Bundle) -> Result<Self, BundleError> {
        let file = bundle.file("tokenizer.json");
        let malformed = |reason: String| BundleError::Malformed { file: file.clone(), reason };
        let mut tokenizer = Tokenizer::from_file(&file).map_err(|error| malformed(error.to_string()))?;
        tokenizer.with_padding(None);
        // Clearing truncation cannot fail: only setting it is checked.
        let _ = tokenizer.with_truncation(None);
        let mark =
            |name: &str| tokenizer.token_to_id(name).ok_or_else(|| malformed(format!("token {name} is missing")));
        let (start, end) = (mark("[CLS]")?, mark("[SEP]")?);
        Ok(Self { start, end, room: bundle.window_tokens - 2, tokenizer })
    }

    /// Cuts `text` into windows of at most the bundle's size, each complete with its marks; at least one, also for an
    /// empty text. Windows end with a sentence unless a sentence alone is longer than one.
    ///
    /// CPU-bound: about a millisecond for a thousand words.
    pub fn windows(&self, text: &str) -> Vec<Vec<u32>> {
        let whole = self.tokens(text);
        if whole.len() <= self.room {
            return vec![self.marked(&whole)];
        }
        let mut windows = Vec::new();
        let mut open: Vec<u32> = Vec::new();
        for range in sentences(text) {
            let sentence = self.tokens(&text[range]);
            if open.len() + sentence.len() > self.room && !open.is_empty() {
                windows.push(self.marked(&open));
                open.clear();
            }
            open.extend(&sentence);
            while open.len() > self.room {
                let rest = open.split_off(self.room);
                windows.push(self.marked(&open));
                open = rest;
            }
        }
        if !open.is_empty() || windows.is_empty() {
            windows.push(self.marked(&open));
        }
        windows
    }

    fn tokens(&self, text: &str) -> Vec<u32> {
        // A word-piece tokenizer has a piece for every input ([UNK] at worst); no ticket is worth a panic all the same.
        match self.tokenizer.encode_fast(text, false) {
            Ok(encoding) => encoding.get_ids().to_vec(),
            Err(_) => {
                // Not the error itself, which may quote the text.
                tracing::error!("a text could not be tokenized and was read as empty");
                Vec::new()
            }
        }
    }

    fn marked(&self, tokens: &[u32]) -> Vec<u32> {
        let mut window = Vec::with_capacity(tokens.len() + 2);
        window.push(self.start);
        window.extend_from_slice(tokens);
        window.push(self.end);
        window
    }
}
