//! Errors about names that do not exist: what there is, and what may have been meant.

/// The end of a sentence such as `names the action 'brek', and there is none of this name`.
pub fn unknown(verb: &str, kind: &str, name: &str, known: &[&str]) -> String {
    let list = known.join(", ");
    let meant = match closest(name, known) {
        Some(meant) => format!("did you mean {meant}? "),
        None => String::new(),
    };
    format!("{verb} the {kind} '{name}', which does not exist; {meant}There are {list}")
}

fn closest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let name = name.to_ascii_lowercase();
    let distances = known
        .iter()
        .map(|one| (strsim::damerau_levenshtein(&name, one), *one));
    let nearest = distances.min_by_key(|(distance, _)| *distance);
    nearest
        .filter(|(distance, one)| *distance <= 2 && *distance < one.len())
        .map(|(_, one)| one)
}
