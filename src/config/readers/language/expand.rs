//! The passes over the values of options: `$(ENV)`, then `@(file)`, then `%(placeholder)` with its
//! arithmetic (uWSGI's core/config.c). Pure; what a name stands for comes in as a function.
//!
//! What a name is replaced by is looked at again, so that values may refer to values. A name that
//! stands for nothing is left as it is.

/// How many names one value may refer to, directly or not, before it must be a circle.
const NAMES_MAX: usize = 512;
/// How many bytes may be looked through for names: after each that is replaced, those around it are
/// read again.
const STEPS_MAX: usize = 8 << 20;
/// The longest value that may come out.
const BYTES_MAX: usize = 1 << 20;

/// Why a value could not be expanded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure<E> {
    /// It refers to itself, or to more than there may be.
    Circle,
    /// A name could not be looked up.
    Name(E),
}

/// Replaces every `symbol(name)` by what `lookup` says that it stands for.
pub(crate) fn pass<E>(
    text: &str,
    symbol: char,
    mut lookup: impl FnMut(&str) -> Result<Option<String>, E>,
) -> Result<String, Failure<E>> {
    let mut text = text.to_owned();
    let mut from = 0;
    let mut names = 0;
    let mut steps = 0;
    while let Some(found) = next_name(text.as_bytes(), symbol as u8, from) {
        steps += found.end - from;
        names += 1;
        if names > NAMES_MAX || steps > STEPS_MAX {
            return Err(Failure::Circle);
        }
        let name = text.get(found.start + 2..found.end - 1).unwrap_or_default();
        match lookup(name).map_err(Failure::Name)? {
            // As in uWSGI the text goes on behind a name that stands for nothing.
            None => from = found.end,
            Some(value) => {
                if text.len() + value.len() > BYTES_MAX {
                    return Err(Failure::Circle);
                }
                text.replace_range(found.start..found.end, &value);
                from = found.around;
            }
        }
    }
    Ok(text)
}

/// A name in a text: `%(name)`.
struct Found {
    /// Where the symbol stands.
    start: usize,
    /// Where the text goes on behind the parenthesis that closes the name.
    end: usize,
    /// Where the outermost name begins that this one is a part of: `%(of_%(site))`. It is `start`
    /// if there is none.
    around: usize,
}

#[derive(Clone, Copy)]
enum Reading {
    Text,
    Symbol(usize),
    Name { start: usize, depth: usize },
}

/// The next name that is closed. Of names in each other it is the innermost, as in uWSGI.
fn next_name(text: &[u8], symbol: u8, from: usize) -> Option<Found> {
    let mut reading = Reading::Text;
    let mut around = None;
    for (at, byte) in text.iter().copied().enumerate().skip(from) {
        reading = match reading {
            Reading::Name { start, .. } if byte == symbol => {
                around.get_or_insert(start);
                Reading::Symbol(at)
            }
            _ if byte == symbol => Reading::Symbol(at),
            Reading::Symbol(start) if byte == b'(' => Reading::Name { start, depth: 0 },
            Reading::Name { start, depth } => match byte {
                b'(' => Reading::Name {
                    start,
                    depth: depth + 1,
                },
                b')' if depth > 0 => Reading::Name {
                    start,
                    depth: depth - 1,
                },
                // Without a name in them the parentheses are text.
                b')' if at == start + 2 => Reading::Text,
                b')' => {
                    return Some(Found {
                        start,
                        end: at + 1,
                        around: around.unwrap_or(start),
                    });
                }
                _ => reading,
            },
            Reading::Symbol(_) | Reading::Text => Reading::Text,
        };
        if matches!(reading, Reading::Text) {
            around = None;
        }
    }
    None
}

/// What a placeholder stands for: a name, or names and numbers with ` + - * / ++ --` between them,
/// worked out from left to right. Names without an operator between them are joined.
pub(crate) fn placeholder(key: &str, lookup: impl Fn(&str) -> Option<String>) -> Option<String> {
    if !key.contains(' ') {
        return lookup(key);
    }
    let mut value: Option<String> = None;
    let mut operator = Operator::Join;
    for word in key.split(' ').filter(|word| !word.is_empty()) {
        let operand = match word {
            "+" => {
                operator = Operator::Add;
                continue;
            }
            "-" => {
                operator = Operator::Subtract;
                continue;
            }
            "*" => {
                operator = Operator::Multiply;
                continue;
            }
            "/" => {
                operator = Operator::Divide;
                continue;
            }
            "++" | "--" => {
                let step = if word == "++" { 1 } else { -1 };
                value = value.map(|text| integer(&text).wrapping_add(step).to_string());
                operator = Operator::Join;
                continue;
            }
            number if number.bytes().all(|byte| byte.is_ascii_digit()) => number.to_owned(),
            name => lookup(name).unwrap_or_default(),
        };
        let before = value.take().unwrap_or_default();
        let (left, right) = (integer(&before), integer(&operand));
        value = Some(match operator {
            Operator::Join => before + &operand,
            Operator::Add => left.wrapping_add(right).to_string(),
            Operator::Subtract => left.wrapping_sub(right).to_string(),
            Operator::Multiply => left.wrapping_mul(right).to_string(),
            Operator::Divide if right == 0 => "0".to_owned(),
            Operator::Divide => left.wrapping_div(right).to_string(),
        });
        operator = Operator::Join;
    }
    value
}

#[derive(Clone, Copy)]
enum Operator {
    Join,
    Add,
    Subtract,
    Multiply,
    Divide,
}

/// strtoll: what is no number is 0, what follows a number is left out, what is too large is the
/// largest.
fn integer(text: &str) -> i64 {
    let text = text.trim_start();
    let (sign, digits) = match text.as_bytes().first() {
        Some(b'-') => (-1_i128, text.get(1..).unwrap_or_default()),
        Some(b'+') => (1, text.get(1..).unwrap_or_default()),
        _ => (1, text),
    };
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    let digits = digits.get(..end).unwrap_or_default();
    let magnitude: i128 = match digits.parse() {
        Ok(number) => number,
        Err(_) if digits.is_empty() => 0,
        Err(_) => i128::from(i64::MAX) + 1,
    };
    let number = (sign * magnitude).clamp(i128::from(i64::MIN), i128::from(i64::MAX));
    i64::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::convert::Infallible;

    fn names(name: &str) -> Option<String> {
        let value = match name {
            "a" => "1",
            "two" => "2",
            "cores" => "8",
            "ref" => "<%(a)>",
            "self" => "%(self)",
            "text" => "12 monkeys",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn expand(text: &str) -> Result<String, Failure<Infallible>> {
        pass(text, '%', |name| Ok(placeholder(name, names)))
    }

    #[test]
    fn names_are_replaced_and_looked_at_again() {
        let read = |text: &str| expand(text).unwrap();
        assert_eq!(read("%(a)%(a)-%(two)"), "11-2");
        assert_eq!(read("%(ref)"), "<1>");
        assert_eq!(read("%(uri) %() %( %(a"), "%(uri) %() %( %(a");
        assert_eq!(read("%(nope (a) %(a)) %(two)"), "1 2");
        assert_eq!(read("é%(a)é"), "é1é");
        assert_eq!(expand("%(self)"), Err(Failure::Circle));
        let many = "%(nope)".repeat(NAMES_MAX);
        assert_eq!(read(&many), many);
        assert_eq!(expand(&format!("{many}%(a)")), Err(Failure::Circle));
        let open = "%(".repeat(20_000);
        assert_eq!(read(&open), open);
        let nested = format!("{open}{}", ")".repeat(20_000));
        assert_eq!(read(&nested), nested);
        let deep = |name| format!("{open}{name}{}", ")".repeat(20_000));
        assert!(read(&deep("%(a)")) == deep("1"));
        // What uWSGI 2.0.31 says.
        assert_eq!(read("%(b(c%(a)))d %(nope%(a))x"), "%(b(c1))d %(nope1)x");
        assert_eq!(read("%(t%(ref)wo)"), "%(t<1>wo)");
        let long = "a".repeat(BYTES_MAX / 2);
        assert!(read(&format!("%({long})")).len() == long.len() + 3);
    }

    #[test]
    fn arithmetic_goes_from_left_to_right() {
        let read = |text: &str| expand(&format!("%({text})")).unwrap();
        assert_eq!(read("a + two"), "3");
        assert_eq!(read("cores - 10"), "-2");
        assert_eq!(read("cores * two + 1"), "17");
        assert_eq!(read("cores / 3"), "2");
        assert_eq!(read("cores / 0"), "0");
        assert_eq!(read("cores ++"), "9");
        assert_eq!(read("cores -- *  two"), "14");
        assert_eq!(read("two cores + 2"), "30");
        assert_eq!(read("text + 1"), "13");
        assert_eq!(read("a  two"), "12");
        assert_eq!(read("nothing + 1"), "1");
        assert_eq!(read("a+two"), "%(a+two)");
        assert_eq!(read("99999999999999999999 + 1"), i64::MIN.to_string());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,40}|(%\\(|\\)|a|self|ref| [-+*/] |[0-9]{1,20}|é){0,20}") {
            drop(expand(&text));
            drop(placeholder(&text, names));
        }
    }
}
