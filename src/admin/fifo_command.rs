//! The letters of the master fifo, uWSGI's (core/fifo.c), and what each does in one process. Pure.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(windows, expect(dead_code, reason = "there is no fifo"))]
pub enum FifoCommand {
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
#[cfg_attr(windows, expect(dead_code, reason = "there is no fifo"))]
pub fn read(byte: u8) -> Option<FifoCommand> {
    Some(match byte {
        b'0'..=b'9' => FifoCommand::Slot(usize::from(byte - b'0')),
        b'+' => FifoCommand::Cheaper(1),
        b'-' => FifoCommand::Cheaper(-1),
        b'C' => FifoCommand::Cheap,
        b'c' => FifoCommand::ChainReload,
        b'r' | b'w' => FifoCommand::Reload,
        b'R' | b'W' => FifoCommand::ReloadAtOnce,
        b'l' => FifoCommand::ReopenLog,
        b'L' => FifoCommand::RotateLog,
        b'p' => FifoCommand::Pause,
        b'P' => FifoCommand::Pidfiles,
        b'q' => FifoCommand::Stop,
        b'Q' => FifoCommand::StopNow,
        b's' => FifoCommand::Stats,
        b'B' => FifoCommand::Elsewhere("asks the emperor for help: there is no emperor"),
        b'E' => FifoCommand::Elsewhere("lets the emperor look for vassals: there is no emperor"),
        b'f' => FifoCommand::Elsewhere(
            "forks the master: nothing forks here. Start another server, with --reuse-port if both are to serve",
        ),
        b'S' => FifoCommand::Elsewhere("blocks subscriptions: there are no subscriptions"),
        b'\n' | b'\r' | b' ' | b'\t' | 0 => return None,
        _ => FifoCommand::Unknown,
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
            assert!(
                !matches!(read, None | Some(FifoCommand::Unknown)),
                "{letter}"
            );
        }
        assert_eq!(read(b'x'), Some(FifoCommand::Unknown));
        assert_eq!(read(0xff), Some(FifoCommand::Unknown));
        assert_eq!(read(b'\n'), None);
        assert_eq!(read(b'9'), Some(FifoCommand::Slot(9)));
    }
}
