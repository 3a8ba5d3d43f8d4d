//! `Accept-Encoding` (RFC 9110, 12.5.3): the compressed twin that a client prefers. Pure.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// `br` (RFC 7932)
    Brotli,
    /// `zstd` (RFC 8878)
    Zstandard,
    /// `gzip` (RFC 1952)
    Gzip,
}

impl Coding {
    /// The usually smallest one first: the choice among equals.
    pub const ALL: [Self; 3] = [Self::Brotli, Self::Zstandard, Self::Gzip];

    /// The value of `Content-Encoding`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstandard => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// The suffix of the twin's name.
    pub const fn ending(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Zstandard => ".zst",
            Self::Gzip => ".gz",
        }
    }

    fn of(name: &[u8]) -> Option<Self> {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        match name.len() {
            2 if is("br") => Some(Self::Brotli),
            4 if is("zstd") => Some(Self::Zstandard),
            4 if is("gzip") => Some(Self::Gzip),
            // RFC 9110, 8.4.1.3: the same.
            6 if is("x-gzip") => Some(Self::Gzip),
            _ => None,
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Brotli => 0,
            Self::Zstandard => 1,
            Self::Gzip => 2,
        }
    }
}

/// Thousandths: 1.0 is 1000.
const FULL: u16 = 1000;

/// The codings that the client likes no less than the plain file, best first.
pub fn wanted(accept_encoding: &[u8]) -> impl Iterator<Item = Coding> {
    let mut weights = [None; Coding::ALL.len()];
    let mut plain = None;
    let mut others = None;
    for element in accept_encoding.split(|byte| *byte == b',') {
        let mut parts = element.split(|byte| *byte == b';');
        let name = parts.next().unwrap_or_default().trim_ascii();
        let weight = parts.next().map_or(Some(FULL), weight);
        // An unreadable weight is a refusal.
        let weight = weight.unwrap_or(0);
        let place = match name {
            b"" => continue,
            b"*" => &mut others,
            name if name.eq_ignore_ascii_case(b"identity") => &mut plain,
            name => match Coding::of(name) {
                Some(coding) => &mut weights[coding.index()],
                None => continue,
            },
        };
        place.get_or_insert(weight);
    }
    // An unmentioned plain file is accepted, but not preferred.
    let plain = plain.unwrap_or(0);
    let mut order = Coding::ALL.map(|coding| {
        let weight = weights[coding.index()].or(others).unwrap_or(0);
        (coding, weight)
    });
    // Stable: the order of `ALL` among equals.
    order.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
    order
        .into_iter()
        .filter(move |(_, weight)| *weight > 0 && *weight >= plain)
        .map(|(coding, _)| coding)
}

/// `q=0.5`; `None` for anything else.
fn weight(parameter: &[u8]) -> Option<u16> {
    let parameter = parameter.trim_ascii();
    let value = match parameter {
        [b'q' | b'Q', b'=', value @ ..] => value,
        _ => return None,
    };
    let (whole, fraction) = match value {
        [whole] => (whole, &[][..]),
        [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        _ => return None,
    };
    let whole = match whole {
        b'0' => 0,
        b'1' => FULL,
        _ => return None,
    };
    let mut place = FULL;
    let fraction = fraction.iter().try_fold(0, |sum, digit| {
        place /= 10;
        digit
            .is_ascii_digit()
            .then(|| sum + u16::from(digit - b'0') * place)
    })?;
    Some(whole + fraction).filter(|weight| *weight <= FULL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(accept_encoding: &str) -> String {
        let names: Vec<&str> = wanted(accept_encoding.as_bytes())
            .map(Coding::name)
            .collect();
        names.join(" ")
    }

    #[test]
    fn what_clients_say() {
        for (accept_encoding, found) in [
            ("gzip, deflate, br, zstd", "br zstd gzip"),
            ("gzip, deflate, br", "br gzip"),
            ("gzip", "gzip"),
            ("x-gzip", "gzip"),
            ("GZIP", "gzip"),
            ("", ""),
            ("identity", ""),
            ("deflate", ""),
            ("*", "br zstd gzip"),
            ("*;q=0", ""),
            ("gzip;q=1.0, br;q=0.5", "gzip br"),
            ("gzip;q=0.8, br;q=0.9, zstd;q=0.85", "br zstd gzip"),
            ("br;q=0, gzip", "gzip"),
            ("br;q=0.0, *", "zstd gzip"),
            ("gzip;q=0", ""),
            ("gzip;q=0.001", "gzip"),
            ("gzip;q=0.5, identity", ""),
            ("gzip;q=0.5, identity;q=0.5", "gzip"),
            ("identity;q=0, gzip;q=0.1", "gzip"),
            (" gzip ; q=0.5 ,\tbr", "br gzip"),
            ("gzip, gzip;q=0", "gzip"),
        ] {
            assert_eq!(names(accept_encoding), found, "{accept_encoding}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_no_yes() {
        for accept_encoding in [
            "gzip;q=",
            "gzip;q=2",
            "gzip;q=1.1",
            "gzip;q=-1",
            "gzip;q=0.1234",
            "gzip;q=.5",
            "gzip;w=1",
            "gzip;q=abc",
            "gzip;",
            ";q=1",
            "gzipped",
        ] {
            assert_eq!(names(accept_encoding), "", "{accept_encoding}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(value in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(wanted(&value).count() <= Coding::ALL.len());
        }
    }
}
