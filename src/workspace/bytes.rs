//! Numbers, texts and hashes as manifests and the index write them, and a reader that trusts
//! nothing.

use blob::Hash;

/// Bytes that are not what they should be: the word for what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// Seven bits a byte, the lowest first.
pub(crate) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number as u8) | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Small numbers of either sign stay short.
pub(crate) fn put_signed(out: &mut Vec<u8>, number: i64) {
    put_number(out, ((number << 1) ^ (number >> 63)) as u64);
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(crate) fn put_hash(out: &mut Vec<u8>, hash: &Hash) {
    out.extend_from_slice(hash.as_bytes());
}

/// Takes bytes apart from the front.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads bytes that have to begin with a mark.
    pub(crate) fn new(bytes: &'a [u8], mark: &[u8]) -> Result<Self, Malformed> {
        let rest = bytes.strip_prefix(mark).ok_or(Malformed("it does not begin as it should"))?;
        Ok(Self { rest })
    }

    pub(crate) fn number(&mut self) -> Result<u64, Malformed> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                // One number has one spelling, or two manifests could mean the same.
                return if byte == 0 && shift > 0 {
                    Err(Malformed("a number is padded"))
                } else {
                    Ok(number)
                };
            }
        }
        Err(Malformed("a number is too long"))
    }

    pub(crate) fn signed(&mut self) -> Result<i64, Malformed> {
        let number = self.number()?;
        Ok(((number >> 1) as i64) ^ -((number & 1) as i64))
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.rest.split_first().ok_or(Malformed("it is cut short"))?;
        self.rest = rest;
        Ok(*first)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.count()?;
        let (bytes, rest) =
            self.rest.split_at_checked(length).ok_or(Malformed("it is cut short"))?;
        self.rest = rest;
        Ok(bytes)
    }

    /// How many of something follow: no more than there are bytes.
    pub(crate) fn count(&mut self) -> Result<usize, Malformed> {
        let count = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        if count > self.rest.len() { Err(Malformed("it is cut short")) } else { Ok(count) }
    }

    pub(crate) fn hash(&mut self) -> Result<Hash, Malformed> {
        let (hash, rest) =
            self.rest.split_first_chunk::<32>().ok_or(Malformed("it is cut short"))?;
        self.rest = rest;
        Ok(Hash::from_bytes(*hash))
    }

    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed("something follows its end")) }
    }
}
