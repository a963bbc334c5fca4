use std::fmt;
use std::io;

/// How a request ended, as the number of a Linux error (`errno(3)`) without its sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errno(i32);

impl Errno {
    /// It was done.
    pub const NONE: Self = Self(0);
    /// Something failed that has no number (`EIO`).
    pub const INPUT_OUTPUT: Self = Self(5);
    /// More than the named maxima (`E2BIG`).
    pub const TOO_BIG: Self = Self(7);
    /// A key or value that means nothing (`EINVAL`).
    pub const INVALID: Self = Self(22);
    /// Not of the protocol's form (`EPROTO`).
    pub const PROTOCOL: Self = Self(71);
    /// Another program has the port (`EADDRINUSE`).
    pub const PORT_IN_USE: Self = Self(98);

    /// From a number as programs write it: some negative, as wireguard-go, some positive.
    #[must_use]
    pub const fn from_number(number: i32) -> Self {
        Self(number.saturating_abs())
    }

    /// The number, 0 or positive.
    #[must_use]
    pub const fn number(self) -> i32 {
        self.0
    }

    /// Whether it was done.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl From<&io::Error> for Errno {
    fn from(error: &io::Error) -> Self {
        error.raw_os_error().filter(|number| *number != 0).map_or(Self::INPUT_OUTPUT, Self::from_number)
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() { f.write_str("no error") } else { io::Error::from_raw_os_error(self.0).fmt(f) }
    }
}
