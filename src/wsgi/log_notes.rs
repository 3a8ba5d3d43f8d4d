//! What the application, and rules, say about the log line of a request. Plain data.

/// Notes of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogNotes {
    /// The request has a line, whatever the rules are.
    pub is_wanted: bool,
    /// The request has no line; this wins.
    pub is_unlogged: bool,
    values: Vec<Pair>,
    variables: Vec<Pair>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pair {
    name: Vec<u8>,
    value: Vec<u8>,
}

impl LogNotes {
    /// Nothing was said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what was said later.
    pub fn add(&mut self, later: Self) {
        self.is_wanted |= later.is_wanted;
        self.is_unlogged |= later.is_unlogged;
        for Pair { name, value } in later.values {
            self.set(&name, &value);
        }
        for Pair { name, value } in later.variables {
            self.set_variable(&name, &value);
        }
    }

    /// What was said first, and later.
    pub fn both(first: Option<Box<Self>>, later: Option<Box<Self>>) -> Option<Box<Self>> {
        match (first, later) {
            (Some(mut first), Some(later)) => {
                first.add(*later);
                Some(first)
            }
            (first, later) => first.or(later),
        }
    }

    /// Sets a variable of the line.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        set(&mut self.values, name, value);
    }

    /// A variable of the line.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        get(&self.values, name)
    }

    /// Sets a variable of the request, for the log alone.
    pub fn set_variable(&mut self, name: &[u8], value: &[u8]) {
        set(&mut self.variables, name, value);
    }

    /// How many variables of the request were set here.
    pub fn variable_count(&self) -> usize {
        self.variables.len()
    }

    /// A variable of the request that was set here.
    pub fn variable(&self, name: &[u8]) -> Option<&[u8]> {
        get(&self.variables, name)
    }
}

fn set(pairs: &mut Vec<Pair>, name: &[u8], value: &[u8]) {
    match pairs.iter_mut().find(|pair| pair.name == name) {
        Some(pair) => value.clone_into(&mut pair.value),
        None => pairs.push(Pair {
            name: name.to_vec(),
            value: value.to_vec(),
        }),
    }
}

fn get<'a>(pairs: &'a [Pair], name: &[u8]) -> Option<&'a [u8]> {
    let found = pairs.iter().find(|pair| pair.name == name);
    found.map(|pair| pair.value.as_slice())
}
