//! The passes over the values of options: `$(ENV)`, then `@(file)`, then `%(placeholder)` with its
//! arithmetic (uWSGI's core/config.c). Pure; what a name stands for comes in as a function.
//!
//! What a name is replaced by is looked at again, so that values may refer to values. A name that
//! stands for nothing is left as it is.

/// How many names one value may refer to, directly or not, before it must be a circle.
const NAMES_MAX: usize = 512;
/// How many bytes may be looked through for the parentheses that close names: of thousands that
/// nothing closes, each leads through the rest of the text.
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
    let open = [symbol as u8, b'('];
    let mut text = text.to_owned();
    let mut from = 0;
    let mut names = 0;
    let mut steps = 0;
    while let Some(at) =
        memchr::memmem::find(text.as_bytes().get(from..).unwrap_or_default(), &open)
    {
        let start = from + at;
        let found = name_at(&text, start + 2);
        steps += found.map_or(text.len(), |(_, end)| end) - start;
        names += usize::from(found.is_some());
        if names > NAMES_MAX || steps > STEPS_MAX {
            return Err(Failure::Circle);
        }
        let Some((name, end)) = found else {
            from = start + 2;
            continue;
        };
        match lookup(name).map_err(Failure::Name)? {
            None => from = start + 2,
            Some(value) => {
                if text.len() + value.len() > BYTES_MAX {
                    return Err(Failure::Circle);
                }
                text.replace_range(start..end, &value);
                from = start;
            }
        }
    }
    Ok(text)
}

/// The name up to the parenthesis that closes it, and where the text goes on.
fn name_at(text: &str, start: usize) -> Option<(&str, usize)> {
    let mut depth = 0;
    for (at, byte) in text.bytes().enumerate().skip(start) {
        match byte {
            b'(' => depth += 1,
            b')' if depth == 0 => {
                let name = text.get(start..at).filter(|name| !name.is_empty())?;
                return Some((name, at + 1));
            }
            b')' => depth -= 1,
            _ => {}
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
        let read = |text| expand(text).unwrap();
        assert_eq!(read("%(a)%(a)-%(two)"), "11-2");
        assert_eq!(read("%(ref)"), "<1>");
        assert_eq!(read("%(uri) %() %( %(a"), "%(uri) %() %( %(a");
        assert_eq!(read("%(nope (a) %(a)) %(two)"), " 2");
        assert_eq!(read("é%(a)é"), "é1é");
        assert_eq!(expand("%(self)"), Err(Failure::Circle));
        let many = "%(nope)".repeat(NAMES_MAX);
        assert_eq!(read(&many), many);
        assert_eq!(expand(&format!("{many}%(a)")), Err(Failure::Circle));
        let open = "%(".repeat(20_000);
        assert_eq!(expand(&open), Err(Failure::Circle));
        let nested = format!("{open}{}", ")".repeat(20_000));
        assert_eq!(expand(&nested), Err(Failure::Circle));
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
