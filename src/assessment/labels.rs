//! The labels of the taxonomy. A label's name, here and in bundles, policies and records, is its variant in snake case.

use strum::{Display, EnumString, IntoStaticStr, VariantArray};

/// What the customer feels.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Display, EnumString, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum Emotion {
    /// Hostile: blames, insults or threatens.
    Anger,
    /// Irritated by obstacles: failures, delays, repeats.
    Frustration,
    /// Expected better and is let down, with little heat.
    Disappointment,
    /// Doubts honesty, competence or safety.
    Distrust,
    /// Worries about what may happen.
    Anxiety,
    /// Does not understand, and shows it.
    Confusion,
    /// Hurt, grieving, hopeless or lonely.
    Sadness,
    /// Met something unexpected, good or bad.
    Surprise,
    /// Apologises or is embarrassed.
    Apologetic,
    /// Thanks for something real, or warmly.
    Gratitude,
    /// Pleased: joy, praise, relief.
    Satisfaction,
    /// No emotion worth a cue; stands alone.
    Neutral,
}

/// How strong the feeling is; `None` exactly when the emotion is [`Emotion::Neutral`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, VariantArray)]
pub enum Intensity {
    /// 0: no feeling worth a cue.
    None,
    /// 1: noticeable but controlled.
    Mild,
    /// 2: it drives the message.
    Strong,
    /// 3: it overwhelms.
    Extreme,
}

/// What happens if nobody acts, and how soon; ordered from least to most urgent.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Display, EnumString, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum Urgency {
    /// Nothing is lost by waiting.
    Low,
    /// A real problem without special time pressure.
    Normal,
    /// Serious loss or blockage, or a deadline within about two days.
    High,
    /// Harm now or within the hour or so.
    Critical,
}

/// What a help desk must know beside emotion and urgency.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Display, EnumString, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum Signal {
    /// Says or clearly implies leaving.
    ChurnRisk,
    /// Lawyer, court, regulator, chargeback or public exposure used as pressure.
    LegalThreat,
    /// Account takeover, fraud, phishing, leaked data, a vulnerability.
    SecurityIncident,
    /// Danger to body or life, self-harm included.
    SafetyRisk,
    /// A whole function is down for this customer or many.
    ServiceOutage,
    /// Money lost, wrongly charged, withheld or refused.
    FinancialImpact,
    /// Names a time by which it must be solved.
    Deadline,
    /// Has contacted before about this, or the fix did not hold.
    RepeatContact,
    /// Insults, slurs or profanity aimed at people.
    AbusiveLanguage,
    /// Asks for a manager, a supervisor, a complaint procedure.
    EscalationRequest,
    /// Bereavement, illness, disability, hardship, old age, a child affected, language barrier.
    VulnerableCustomer,
    /// Praises a person, the team or the product.
    Praise,
}

impl Intensity {
    /// The level as the number it goes by: 0 to 3.
    pub fn level(self) -> u8 {
        self as u8
    }
}
