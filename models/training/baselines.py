"""What simpler means reach on the same test sides: the table that shows what the transformer adds.

    python models/training/baselines.py --public FOLDER

A bag of words with logistic regression, a lexicon with rules, and the base encoder frozen under a linear head. The first
and the last train on the same tickets as the model, and tune thresholds and costs on the same dev texts.
"""

import argparse
import re
import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_union
from sklearn.preprocessing import StandardScaler
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

import split
from bundle import fitted_costs, fitted_thresholds
from decisions import Decisions, scores, sigmoid, softmax, truth_of
from labels import TICKET_GROUPS, Labels
from records import EMOTIONS, Ticket, goemotions_labels, read_authored, read_criticals, read_real

# Words that a person would think of for each label; sentiment decides the rest.
LEXICON = {
    "emotion/anger": r"angry|furious|outrag\w+|disgust\w+|disgrace\w*|unacceptable|useless|idiot\w*",
    "emotion/frustration": r"again|still|third time|frustrat\w+|annoy\w+|tried everything|keeps? \w+ing",
    "emotion/disappointment": r"disappoint\w+|let down|expected (more|better)|sadly",
    "emotion/distrust": r"scam\w*|legit|lie[sd]?|lying|hidden|rip.?off|trust",
    "emotion/anxiety": r"worr\w+|anxious|panic\w*|afraid|scared|nervous|please help",
    "emotion/confusion": r"confus\w+|don.?t (get|understand)|no idea|makes no sense",
    "emotion/sadness": r"sad|heartbroken|passed away|funeral|died|grie\w+",
    "emotion/surprise": r"surpris\w+|shock\w+|wow|out of nowhere|unexpected\w*",
    "emotion/apologetic": r"sorry|apolog\w+|my (mistake|fault|bad)|embarrass\w+",
    "emotion/gratitude": r"thank\w*|grateful|appreciate\w*",
    "emotion/satisfaction": r"love|great|perfect\w*|excellent|happy|brilliant|relieved",
    "signal/churn_risk": r"cancel\w*|leav\w+|switch\w*|never (buy|order|use)|competitor",
    "signal/legal_threat": r"lawyer|solicitor|attorney|court|sue|ombudsman|chargeback|regulator",
    "signal/security_incident": r"hack\w*|fraud\w*|phish\w*|stolen|unauthori[sz]ed|breach|leak\w*",
    "signal/safety_risk": r"gas|fire|smoke|burn\w*|injur\w+|hospital|danger\w*|suicid\w+",
    "signal/service_outage": r"down|outage|offline|not working|can.?t (log ?in|access|connect)",
    "signal/financial_impact": r"charged|refund\w*|money|overcharged|deducted|withdrawn|[$£€] ?\d+",
    "signal/deadline": r"by (monday|tuesday|wednesday|thursday|friday|tomorrow|tonight|end of)|deadline|due",
    "signal/repeat_contact": r"again|(second|third|fourth) time|already (called|emailed|contacted)|still waiting",
    "signal/abusive_language": r"idiot\w*|moron\w*|stupid|damn|f\*+|shit\w*|fuck\w*|bastard\w*",
    "signal/escalation_request": r"manager|supervisor|escalate|complaint",
    "signal/vulnerable_customer": r"disab\w+|elderly|pensioner|cancer|bereave\w+|passed away|baby|wheelchair",
    "signal/praise": r"great (job|service|team)|helpful|fantastic|shout ?out|well done|kudos",
}
CRITICAL_WORDS = r"right now|emergency|gas|fire|hack\w*|stolen|withdrawing|in \d+ (hours?|minutes)|suicid\w+|production is down"
HIGH_WORDS = r"urgent\w*|asap|immediately|tomorrow|locked out|charged twice|today"
LOW_WORDS = r"wondering|feature|suggest\w*|do you (plan|have)|just wanted to|curious|thank you"


def lexicon(tickets: list[Ticket], labels: Labels) -> np.ndarray:
    """Scores that say 1 or 0, as logits."""
    sentiment = SentimentIntensityAnalyzer()
    rows = np.full((len(tickets), len(labels.names)), -4.0)
    for row, ticket in zip(rows, tickets):
        text = ticket.model_text.lower()
        for name, pattern in LEXICON.items():
            if re.search(rf"(?<!\w)(?:{pattern})(?!\w)", text):
                row[labels.names.index(name)] = 4.0
        compound = sentiment.polarity_scores(ticket.model_text)["compound"]
        feelings = row[labels.span("emotion")]
        if compound <= -0.6 and not (feelings > 0).any():
            feelings[EMOTIONS.index("frustration")] = 4.0
        if compound >= 0.7 and not (feelings > 0).any():
            feelings[EMOTIONS.index("satisfaction")] = 4.0
        patterns = (LOW_WORDS, "(?!)", HIGH_WORDS, CRITICAL_WORDS)
        found = [level for level, pattern in enumerate(patterns) if re.search(rf"(?<!\w)(?:{pattern})(?!\w)", text)]
        row[labels.span("urgency")][max(found, default=1)] = 4.0
    return rows


def learned(features, train: list[Ticket], labels: Labels):
    """A linear model for each group on `features`; returns what scores tickets."""
    models = {}
    for group in TICKET_GROUPS:
        truth = truth_of(labels, train, group)
        if group in ("urgency", "intensity"):
            models[group] = LogisticRegression(max_iter=400, class_weight="balanced").fit(features(train), truth.argmax(1))
        else:
            linear = OneVsRestClassifier(LogisticRegression(max_iter=400, C=2.0))
            models[group] = linear.fit(features(train), truth)

    def score(tickets: list[Ticket]) -> np.ndarray:
        rows = np.full((len(tickets), len(labels.names)), -4.0)
        x = features(tickets)
        for group, model in models.items():
            rows[:, labels.span(group)] = model.decision_function(x)
        return rows

    return score


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--public", type=Path, required=True, help="folder of the public data sets")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    labels = Labels(goemotions_labels(arguments.public))
    authored, real = split.load(read_authored(), "authored"), split.load(read_real(arguments.public), "real")
    train, dev = authored["train"] + real["train"], authored["dev"] + real["dev"]
    tests = {"authored": authored["test"], "real": real["test"], "criticals": read_criticals()}

    words = make_union(
        TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), min_df=3, max_features=60_000, sublinear_tf=True),
    ).fit([ticket.model_text for ticket in train])
    known: dict[str, np.ndarray] = {}

    def embedded(tickets: list[Ticket]) -> np.ndarray:
        fresh = [ticket for ticket in tickets if ticket.id not in known]
        known.update(zip((ticket.id for ticket in fresh), split.embed([ticket.model_text for ticket in fresh])))
        return np.stack([known[ticket.id] for ticket in tickets])

    scale = StandardScaler().fit(embedded(train))
    means = {
        "lexicon and rules": lambda tickets: lexicon(tickets, labels),
        "TF-IDF, logistic regression": learned(lambda t: words.transform([x.model_text for x in t]), train, labels),
        "frozen encoder, linear head": learned(lambda t: scale.transform(embedded(t)), train, labels),
    }
    for name, score in means.items():
        z = score(dev)
        thresholds = {
            group: fitted_thresholds(sigmoid(z[:, labels.span(group)]), truth_of(labels, dev, group))
            for group in ("emotion", "signal")
        }
        costs = fitted_costs(softmax(z[:, labels.span("urgency")]), truth_of(labels, dev, "urgency").argmax(1))
        for test, tickets in tests.items():
            found = scores(Decisions(labels, thresholds, costs), tickets, score(tickets))
            print(f"{name} | {test} | " + " | ".join(f"{key} {value:.3f}" for key, value in found.items()), flush=True)


if __name__ == "__main__":
    main()
