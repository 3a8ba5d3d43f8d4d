//! The letters of the master fifo, uWSGI's (core/fifo.c), and what each does in one process. Pure.

/// What a letter asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Letter {
    /// `0` to `9`: read the fifo of this number from now on.
    Slot(usize),
    /// `+`, `-`: one interpreter more or fewer.
    Cheaper(i8),
    /// `C`: end all interpreters until a request comes.
    Cheap,
    /// `c`: one interpreter after the other is replaced.
    ChainReload,
    /// `r`, `w`: reload.
    Reload,
    /// `R`, `W`: reload; uWSGI would not wait for requests in progress.
    ReloadAtOnce,
    /// `l`: open the log anew.
    ReopenLog,
    /// `L`: rotate the log.
    RotateLog,
    /// `p`: pause or resume.
    Pause,
    /// `P`: write the pidfiles anew.
    Pidfiles,
    /// `q`: stop.
    Stop,
    /// `Q`: stop without waiting for requests in progress.
    StopNow,
    /// `s`: the state of the workers into the log.
    Stats,
    /// A letter of uWSGI's that has no meaning in one process: why.
    Elsewhere(&'static str),
    /// None of uWSGI's.
    Unknown,
}

/// What a byte of a fifo means; `None` is the white space of `echo`.
pub fn read(byte: u8) -> Option<Letter> {
    Some(match byte {
        b'0'..=b'9' => Letter::Slot(usize::from(byte - b'0')),
        b'+' => Letter::Cheaper(1),
        b'-' => Letter::Cheaper(-1),
        b'C' => Letter::Cheap,
        b'c' => Letter::ChainReload,
        b'r' | b'w' => Letter::Reload,
        b'R' | b'W' => Letter::ReloadAtOnce,
        b'l' => Letter::ReopenLog,
        b'L' => Letter::RotateLog,
        b'p' => Letter::Pause,
        b'P' => Letter::Pidfiles,
        b'q' => Letter::Stop,
        b'Q' => Letter::StopNow,
        b's' => Letter::Stats,
        b'B' => Letter::Elsewhere("asks the emperor for help: there is no emperor"),
        b'E' => Letter::Elsewhere("lets the emperor look for vassals: there is no emperor"),
        b'f' => Letter::Elsewhere(
            "forks the master: nothing forks here. Start another server, with --reuse-port if both are to serve",
        ),
        b'S' => Letter::Elsewhere("blocks subscriptions: there are no subscriptions"),
        b'\n' | b'\r' | b' ' | b'\t' | 0 => return None,
        _ => Letter::Unknown,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_of_uwsgi_is_known() {
        // The table of uwsgi_master_fifo_prepare().
        for letter in b"0123456789-+BcCEflLpPqQrRsSwW" {
            let read = read(*letter);
            assert!(!matches!(read, None | Some(Letter::Unknown)), "{letter}");
        }
        assert_eq!(read(b'x'), Some(Letter::Unknown));
        assert_eq!(read(0xff), Some(Letter::Unknown));
        assert_eq!(read(b'\n'), None);
        assert_eq!(read(b'9'), Some(Letter::Slot(9)));
    }
}
