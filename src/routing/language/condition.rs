//! Conditions of `route-if` and `route-if-not`: `equal:${HTTP_HOST};example.org`. Pure.

use super::pattern::Pattern;
use super::suggestion::unknown;
use super::template::Template;

/// Names, in the order in which errors list them; those of one group mean the same.
pub const NAMES: &[&[&str]] = &[
    &["empty"],
    &["equal", "isequal", "eq", "=="],
    &["startswith"],
    &["endswith"],
    &["contains", "contain"],
    &["regexp", "re"],
    &["ishigher", ">"],
    &["ishigherequal", ">="],
    &["islower", "<"],
    &["islowerequal", "<="],
    &["exists"],
    &["isfile"],
    &["isdir"],
    &["islink"],
    &["isexec"],
    &["ipv4in"],
    &["ipv6in"],
];

const ABSENT: &[(&str, &str)] = &[
    ("lord", "there are no legions: one process serves"),
    ("incache", "rules do not use the cache in this version"),
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnePlace {
    Empty,
    Exists,
    File,
    Folder,
    Link,
    Executable,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TwoTexts {
    Equal,
    StartsWith,
    EndsWith,
    Contains,
    Higher,
    HigherEqual,
    Lower,
    LowerEqual,
    Ipv4In,
    Ipv6In,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    One(OnePlace, Template),
    Two(TwoTexts, Template, Template),
    Matches(Template, Pattern),
}

impl Condition {
    /// `NAME:ARGUMENT`. `Err` is the end of a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some((name, argument)) = text.split_once(':') else {
            return Err(format!(
                "wants CONDITION:ARGUMENT ACTION, such as 'empty:${{HTTP_HOST}} break:400 Bad \
                 Request', got '{text}'"
            ));
        };
        let one = |kind| Ok(Self::One(kind, Template::of_condition(argument)?));
        let two = |kind| {
            let (left, right) = halves(name, argument)?;
            let (left, right) = (
                Template::of_condition(left)?,
                Template::of_condition(right)?,
            );
            Ok(Self::Two(kind, left, right))
        };
        match name {
            "empty" => one(OnePlace::Empty),
            "exists" => one(OnePlace::Exists),
            "isfile" => one(OnePlace::File),
            "isdir" => one(OnePlace::Folder),
            "islink" => one(OnePlace::Link),
            "isexec" => one(OnePlace::Executable),
            "equal" | "isequal" | "eq" | "==" => two(TwoTexts::Equal),
            "startswith" => two(TwoTexts::StartsWith),
            "endswith" => two(TwoTexts::EndsWith),
            "contains" | "contain" => two(TwoTexts::Contains),
            "ishigher" | ">" => two(TwoTexts::Higher),
            "ishigherequal" | ">=" => two(TwoTexts::HigherEqual),
            "islower" | "<" => two(TwoTexts::Lower),
            "islowerequal" | "<=" => two(TwoTexts::LowerEqual),
            "ipv4in" => two(TwoTexts::Ipv4In),
            "ipv6in" => two(TwoTexts::Ipv6In),
            "regexp" | "re" => {
                let (subject, pattern) = halves(name, argument)?;
                let subject = Template::of_condition(subject)?;
                Ok(Self::Matches(subject, Pattern::new(pattern)?))
            }
            other => Err(no_such(other)),
        }
    }
}

/// `A;B`
fn halves<'t>(name: &str, argument: &'t str) -> Result<(&'t str, &'t str), String> {
    argument.split_once(';').ok_or_else(|| {
        format!("wants two texts behind {name}:, with a semicolon between them, got '{argument}'")
    })
}

fn no_such(name: &str) -> String {
    if let Some((_, why)) = ABSENT.iter().find(|(absent, _)| *absent == name) {
        return format!("names the condition {name}, which is not supported: {why}");
    }
    let known: Vec<&str> = NAMES
        .iter()
        .flat_map(|group| group.iter())
        .copied()
        .collect();
    unknown("names", "condition", name, &known)
}
