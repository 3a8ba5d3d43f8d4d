//! The measures of the house: how long things may be, and which words do not stand in it.

use std::collections::BTreeMap;

use crate::{
    Complaints, Text, documents, name_of, root, rust_files, without_comments_and_strings, words,
};

/// More files than this in one folder, and a newcomer does not find the one that matters.
const FILES_IN_A_FOLDER_MAX: usize = 25;
/// Lines of a function.
const FUNCTION_LINES_MAX: usize = 80;
const LONG_FUNCTIONS_MAX: usize = 0;
/// Lines of a file of `src/`, tests aside.
const SOURCE_LINES_MAX: usize = 600;
const LONG_FILES_MAX: usize = 0;
/// Parameters of a function.
const PARAMETERS_MAX: usize = 7;
const BAD_PARAMETERS_MAX: usize = 0;
/// Names of code that are not the field's words.
const ODD_NAMES_MAX: usize = 0;
/// Columns of a line of `src/`, and how many lines may be longer.
const COLUMNS_MAX: usize = 120;
const WIDE_LINES_MAX: usize = 40;

/// Sentences with these words are mostly riddles; a few are not.
const RIDDLES: &[&str] = &["whoever", "nobody", "somebody", "whose"];
const RIDDLES_MAX: usize = 60;

/// Words that are not the field's. Not in file names, and not in names of code.
const NOT_THE_FIELDS_WORDS: &[&str] = &[
    "crew",
    "roster",
    "beacon",
    "postbox",
    "census",
    "tally",
    "birth",
    "midwife",
    "rebirth",
    "offspring",
    "keeper",
    "bequest",
    "heirlooms",
    "stand_in",
    "standing_in",
    "errand",
    "groundwork",
    "asides",
    "holder",
    "last_call",
    "doors",
    "journal",
    "agenda",
];

fn is_test(file: &Text) -> bool {
    file.path.ends_with("tests.rs") || file.path.contains("/tests/") || file.path.contains("_tests")
}

/// The lines of a file before its tests, without comments and strings.
fn code(file: &Text) -> Vec<String> {
    let lines = file.text.lines().take_while(|line| *line != "#[cfg(test)]");
    lines.map(without_comments_and_strings).collect()
}

fn sources() -> Vec<Text> {
    let mut files = rust_files("src");
    files.retain(|file| !is_test(file));
    files
}

#[test]
fn no_folder_holds_too_many_files() {
    let mut folders: BTreeMap<String, usize> = BTreeMap::new();
    for file in rust_files("src") {
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        *folders.entry(folder.to_owned()).or_default() += 1;
    }
    folders.retain(|_, count| *count > FILES_IN_A_FOLDER_MAX);
    assert!(
        folders.is_empty(),
        "folders with more than {FILES_IN_A_FOLDER_MAX} files: {folders:?}"
    );
}

#[test]
fn no_function_is_too_long_to_read() {
    let mut complaints = Complaints::new("functions with more than 80 lines");
    for file in sources() {
        let mut open: Option<(usize, String)> = None;
        for (index, line) in code(&file).iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            if words(line).any(|word| word == "fn") && !line.trim_end().ends_with(';') {
                open = Some((index, format!("{}}}", " ".repeat(indent))));
            }
            if let Some((start, end)) = &open
                && line.trim_end() == end
            {
                let length = index - start + 1;
                if length > FUNCTION_LINES_MAX {
                    complaints.add(&file, start + 1, format!("{length} lines"));
                }
                open = None;
            }
        }
    }
    complaints.check_at_most(LONG_FUNCTIONS_MAX);
}

#[test]
fn no_source_file_is_too_long_to_read() {
    let mut complaints = Complaints::new("files of src/ with more than 600 lines");
    for file in sources() {
        let lines = file.text.lines().count();
        if lines > SOURCE_LINES_MAX {
            complaints.add(&file, lines, "has a second noun in it".to_owned());
        }
    }
    complaints.check_at_most(LONG_FILES_MAX);
}

/// The parameters of every function: where it begins, its name, each parameter.
fn parameters(file: &Text) -> Vec<(usize, String, Vec<String>)> {
    let text = code(file).join("\n");
    let mut found = Vec::new();
    for (at, _) in text.match_indices("fn ") {
        let is_word = text[..at]
            .chars()
            .next_back()
            .is_none_or(|before| !before.is_alphanumeric());
        let rest = &text[at + 3..];
        let name: String = words(rest).next().unwrap_or_default().to_owned();
        if !is_word || name.is_empty() || !rest.starts_with(name.as_str()) {
            continue;
        }
        let mut level = 0_i32;
        let mut parts = vec![String::new()];
        let mut previous = ' ';
        // Past the name and its generics, to the parenthesis that opens the parameters.
        let mut angles = 0_i32;
        let start = rest.char_indices().find(|(index, letter)| {
            match letter {
                '<' => angles += 1,
                '>' if !rest[..*index].ends_with('-') => angles -= 1,
                _ => {}
            }
            *letter == '(' && angles == 0
        });
        let Some((start, _)) = start else { continue };
        for letter in rest[start + 1..].chars() {
            match letter {
                '(' | '[' | '{' | '<' => level += 1,
                '>' if previous == '-' => {}
                ')' if level == 0 => break,
                ')' | ']' | '}' | '>' => level -= 1,
                _ => {}
            }
            previous = letter;
            if letter == ',' && level == 0 {
                parts.push(String::new());
            } else if let Some(last) = parts.last_mut() {
                last.push(letter);
            }
        }
        parts.retain(|part| !part.trim().is_empty());
        found.push((text[..at].matches('\n').count() + 1, name, parts));
    }
    found
}

#[test]
fn no_parameter_is_a_tuple_and_no_function_has_too_many() {
    let mut complaints = Complaints::new("parameters");
    for file in sources() {
        for (line, name, parts) in parameters(&file) {
            if parts.len() > PARAMETERS_MAX {
                complaints.add(
                    &file,
                    line,
                    format!("{name} has {} parameters", parts.len()),
                );
            }
            for part in parts {
                let type_of = part.split_once(':').map_or("", |(_, rest)| rest.trim());
                if type_of.starts_with('(') && type_of != "()" {
                    complaints.add(&file, line, format!("{name} takes a tuple: give it a name"));
                }
            }
        }
    }
    complaints.check_at_most(BAD_PARAMETERS_MAX);
}

#[test]
fn lines_are_short_enough_to_read_beside_others() {
    let wide: Vec<String> = rust_files("src")
        .iter()
        .flat_map(|file| {
            let lines = file
                .lines()
                .filter(|(_, line)| line.chars().count() > COLUMNS_MAX);
            lines
                .map(|(number, _)| format!("{}:{number}", file.path))
                .collect::<Vec<_>>()
        })
        .collect();
    let count = wide.len();
    assert!(
        count <= WIDE_LINES_MAX,
        "{count} lines over {COLUMNS_MAX} columns: {wide:#?}"
    );
}

#[test]
fn sentences_have_subjects() {
    let mut found = Vec::new();
    for file in rust_files("src").into_iter().chain(documents()) {
        if file.path.contains("benchmarks") || !file.path.contains('/') && file.path != "README.md"
        {
            continue;
        }
        for (number, line) in file.lines() {
            let lower = line.to_lowercase();
            let is_riddle = words(&lower).any(|word| RIDDLES.contains(&word));
            if is_riddle || lower.contains("of one that") {
                found.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    let count = found.len();
    assert!(
        count <= RIDDLES_MAX,
        "{count} lines with {RIDDLES:?} or \"of one that\", at most {RIDDLES_MAX}: {found:#?}"
    );
}

#[test]
fn names_are_words_of_the_field() {
    let mut complaints =
        Complaints::new("names that are not the field's words (docs/architecture.md has them)");
    for file in rust_files("src") {
        let stem = name_of(&root().join(&file.path));
        let stem = stem.trim_end_matches(".rs");
        if NOT_THE_FIELDS_WORDS
            .iter()
            .any(|word| stem.starts_with(word))
        {
            complaints.add(&file, 0, stem.to_owned());
        }
        for (number, line) in file.code_lines() {
            let found = words(&line).find(|word| {
                let snake = snake_case(word);
                NOT_THE_FIELDS_WORDS.contains(&snake.as_str())
            });
            if let Some(word) = found {
                complaints.add(&file, number, word.to_owned());
            }
        }
    }
    complaints.check_at_most(ODD_NAMES_MAX);
}

/// `StandIn` and `STAND_IN` are `stand_in`.
fn snake_case(name: &str) -> String {
    if name.chars().all(|letter| !letter.is_lowercase()) {
        return name.to_lowercase();
    }
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

#[test]
fn the_measures_see_what_they_count() {
    let file = Text {
        path: "src/x/y.rs".to_owned(),
        text: "fn one<T: Fn(u8) -> u8>((a, b): (u8, u8), c: Vec<(u8, u8)>) {}\n".to_owned(),
    };
    let found = parameters(&file);
    assert_eq!(found[0].1, "one");
    assert_eq!(found[0].2.len(), 2);
    assert!(
        found[0].2[0]
            .split_once(':')
            .is_some_and(|(_, rest)| rest.trim().starts_with('('))
    );
    assert_eq!(snake_case("StandIn"), "stand_in");
    assert_eq!(snake_case("JOURNAL"), "journal");
}
