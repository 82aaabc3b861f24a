//! IPC timeouts: a 10-bit mantissa and a 5-bit exponent, in microseconds, one for each direction.

/// One relative timeout in kernel form; 0 means "never".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Timeout(u16);

impl Timeout {
    /// Do not wait at all.
    pub const ZERO: Timeout = Timeout(0x0400);
    /// Wait without limit.
    pub const NEVER: Timeout = Timeout(0);

    /// Largest finite timeout in microseconds.
    pub const MAX_US: u64 = (1 << 41) - 1;

    /// The shortest timeout of at least `us` microseconds; above [`Timeout::MAX_US`] it is
    /// [`Timeout::NEVER`]. The last 2^31 - 1 values up to there have no timeout as long as they
    /// ask for and give the longest finite one, 1023 * 2^31, as upstream's function does.
    #[must_use]
    pub const fn from_us(us: u64) -> Self {
        if us == 0 {
            return Timeout::ZERO;
        }
        if us > Timeout::MAX_US {
            return Timeout::NEVER;
        }
        let bits = 64 - us.leading_zeros();
        let mut exp = bits.saturating_sub(10);
        let mut man = us.div_ceil(1 << exp);
        if man > 0x3ff {
            // Rounding up carried into an eleventh bit.
            if exp == 31 {
                man = 0x3ff;
            } else {
                exp += 1;
                man = us.div_ceil(1 << exp);
            }
        }
        Timeout(((exp as u16) << 10) | man as u16)
    }

    /// Microseconds, or `None` for "never".
    #[must_use]
    pub const fn us(self) -> Option<u64> {
        if self.0 == 0 {
            None
        } else {
            Some((self.0 as u64 & 0x3ff) << ((self.0 >> 10) & 0x1f))
        }
    }

    /// The kernel form.
    #[must_use]
    pub const fn raw(self) -> u16 {
        self.0
    }

    /// From the kernel form.
    #[must_use]
    pub const fn from_raw(raw: u16) -> Self {
        Timeout(raw)
    }
}

/// Send and receive timeout of one system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Timeouts(u32);

impl Timeouts {
    /// Wait without limit in both directions.
    pub const NEVER: Timeouts = Timeouts::new(Timeout::NEVER, Timeout::NEVER);
    /// Send only if the partner is ready, receive without limit: how a server replies.
    pub const SEND_ZERO: Timeouts = Timeouts::new(Timeout::ZERO, Timeout::NEVER);
    /// Never wait.
    pub const ZERO: Timeouts = Timeouts::new(Timeout::ZERO, Timeout::ZERO);

    /// From a send and a receive timeout.
    #[must_use]
    pub const fn new(send: Timeout, receive: Timeout) -> Self {
        Timeouts(((send.0 as u32) << 16) | receive.0 as u32)
    }

    /// The kernel form.
    #[must_use]
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// From the kernel form.
    #[must_use]
    pub const fn from_raw(raw: u32) -> Self {
        Timeouts(raw)
    }

    /// The send half.
    #[must_use]
    pub const fn send(self) -> Timeout {
        Timeout((self.0 >> 16) as u16)
    }

    /// The receive half.
    #[must_use]
    pub const fn receive(self) -> Timeout {
        Timeout(self.0 as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_up_and_never_down() {
        for us in [
            1,
            9,
            1023,
            1024,
            1025,
            2047,
            2048,
            99_999,
            1_000_000,
            Timeout::MAX_US / 2,
        ] {
            let got = Timeout::from_us(us).us().expect("finite");
            assert!(got >= us, "{us} became {got}");
            assert!(got <= us + us / 256 + 1, "{us} became {got}");
        }
        assert_eq!(Timeout::from_us(0), Timeout::ZERO);
        assert_eq!(Timeout::ZERO.us(), Some(0));
        assert_eq!(Timeout::from_us(Timeout::MAX_US).us(), Some(1023 << 31));
        assert_eq!(Timeout::from_us(Timeout::MAX_US + 1).us(), None);
        assert_eq!(Timeout::from_us(u64::MAX).us(), None);
    }

    #[test]
    fn halves_do_not_mix() {
        let t = Timeouts::new(Timeout::ZERO, Timeout::from_us(500));
        assert_eq!(t.send(), Timeout::ZERO);
        assert_eq!(t.receive().us(), Some(500));
        assert_eq!(Timeouts::SEND_ZERO.raw(), 0x0400_0000);
    }
}
