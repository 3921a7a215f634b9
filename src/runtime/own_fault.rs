//! Which errors of the system are about this machine, by their numbers: std's kinds put several of them into one, or none.

use crate::observe::shortage::Shortage;
use std::io;

/// What we lacked; `None`: the error is the other side's, or the way's there.
pub fn shortage(fault: &io::Error) -> Option<Shortage> {
    match fault.raw_os_error()? {
        libc::EMFILE | libc::ENFILE => Some(Shortage::OpenFiles),
        libc::ENOBUFS | libc::ENOMEM => Some(Shortage::Memory),
        libc::EADDRNOTAVAIL => Some(Shortage::Ports),
        libc::ENETDOWN | libc::ENETUNREACH => Some(Shortage::Network),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_called_ours() {
        let check = |number, want| assert_eq!(shortage(&io::Error::from_raw_os_error(number)), want, "{number}");
        check(libc::EMFILE, Some(Shortage::OpenFiles));
        check(libc::ENFILE, Some(Shortage::OpenFiles));
        check(libc::ENOBUFS, Some(Shortage::Memory));
        check(libc::ENOMEM, Some(Shortage::Memory));
        check(libc::EADDRNOTAVAIL, Some(Shortage::Ports));
        check(libc::ENETDOWN, Some(Shortage::Network));
        check(libc::ENETUNREACH, Some(Shortage::Network));
        for number in [libc::ECONNREFUSED, libc::ECONNRESET, libc::EHOSTUNREACH, libc::ETIMEDOUT, libc::EPIPE] {
            check(number, None);
        }
        assert_eq!(shortage(&io::ErrorKind::ConnectionRefused.into()), None, "an error without a number is not of the system");
    }
}
