//! [`ExitCode`]: how a command ended.

/// The exit code of a command. Unlike the standard library's, it can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitCode(u8);

impl ExitCode {
    /// It did what was asked.
    pub const SUCCESS: Self = Self(0);
    /// It did, and what it found is not well.
    pub const FAILURE: Self = Self(1);

    /// The number.
    pub fn code(self) -> u8 {
        self.0
    }
}

impl From<u8> for ExitCode {
    fn from(code: u8) -> Self {
        Self(code)
    }
}
