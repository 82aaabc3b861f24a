//! Serial bytes to lines of plain text.

use anstream::adapter::StripBytes;

/// Collects bytes, drops terminal control sequences (which may be split between reads), and gives
/// out whole lines without their end.
#[derive(Debug, Default)]
pub struct LineSplitter {
    strip: StripBytes,
    line: Vec<u8>,
}

impl LineSplitter {
    /// Takes the next bytes and calls `each` for every line that they complete.
    pub fn push(&mut self, bytes: &[u8], mut each: impl FnMut(&str)) {
        for piece in self.strip.strip_next(bytes) {
            for &byte in piece {
                match byte {
                    b'\n' => {
                        each(&String::from_utf8_lossy(&self.line));
                        self.line.clear();
                    }
                    b'\r' => {}
                    _ => self.line.push(byte),
                }
            }
        }
    }

    /// The text since the last line end.
    pub fn rest(&self) -> String {
        String::from_utf8_lossy(&self.line).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_and_split_reads() {
        let bytes = b"plain\r\n\x1b[31mhello-1 | Hello World!\x1b[0m\r\n\x1b[25;1H\x1b[32mjdb: \x1b[m\x1b[K";
        for size in 1..bytes.len() {
            let mut splitter = LineSplitter::default();
            let mut lines = Vec::new();
            for chunk in bytes.chunks(size) {
                splitter.push(chunk, |line| lines.push(line.to_owned()));
            }
            assert_eq!(
                lines,
                ["plain", "hello-1 | Hello World!"],
                "chunks of {size}"
            );
            assert_eq!(splitter.rest(), "jdb: ");
        }
    }
}
