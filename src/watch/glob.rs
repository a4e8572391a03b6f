//! One component of a pattern: a fixed name or a glob over one name.
//!
//! `?` and classes take one character; where the name is not valid UTF-8 they
//! take one byte, so that no name can hide behind a broken encoding.

/// One component, with no slash in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Component {
    /// Exactly this name.
    Literal(Box<[u8]>),
    /// Any name of this shape.
    Glob(Glob),
    /// `**`: any number of names, also none.
    AnyDepth,
}

/// A glob, cut so that most names are decided by two comparisons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob {
    /// Fixed bytes in front of the first wildcard.
    pub(super) head: Box<[u8]>,
    middle: Box<[Token]>,
    /// Fixed bytes behind the last wildcard.
    pub(super) tail: Box<[u8]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Literal(Box<[u8]>),
    One,
    Many,
    Class { negated: bool, ranges: Box<[(char, char)]> },
}

impl Component {
    /// Reads one component; the error says what would be right.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text == "**" {
            return Ok(Self::AnyDepth);
        }
        let mut tokens = tokenize(text)?;
        if tokens.iter().all(|token| matches!(token, Token::Literal(_))) {
            let name = tokens.pop().map_or_else(Box::default, Token::into_literal);
            if name.len() > 255 {
                return Err(format!("the name is {} bytes long; Linux has none longer than 255", name.len()));
            }
            return Ok(Self::Literal(name));
        }
        let tail = match tokens.last() {
            Some(Token::Literal(_)) => tokens.pop().map_or_else(Box::default, Token::into_literal),
            _ => Box::default(),
        };
        let head = match tokens.first() {
            Some(Token::Literal(_)) => tokens.remove(0).into_literal(),
            _ => Box::default(),
        };
        Ok(Self::Glob(Glob { head, middle: tokens.into(), tail }))
    }

    /// Whether this component, not being `**`, stands for `name`.
    pub(super) fn matches(&self, name: &[u8]) -> bool {
        match self {
            Self::Literal(literal) => **literal == *name,
            Self::Glob(glob) => glob.matches(name),
            Self::AnyDepth => true,
        }
    }
}

impl Glob {
    fn matches(&self, name: &[u8]) -> bool {
        let Some(rest) = name.strip_prefix(&*self.head) else { return false };
        let Some(rest) = rest.strip_suffix(&*self.tail) else { return false };
        match &*self.middle {
            [Token::Many] => true,
            tokens => run(tokens, rest),
        }
    }
}

impl Token {
    fn into_literal(self) -> Box<[u8]> {
        match self {
            Self::Literal(bytes) => bytes,
            _ => Box::default(),
        }
    }

    /// How many bytes at the start of `text` this token takes, if it fits.
    fn takes(&self, text: &[u8]) -> Option<usize> {
        match self {
            Self::Literal(bytes) => text.starts_with(bytes).then_some(bytes.len()),
            Self::One | Self::Many => (!text.is_empty()).then(|| first_char(text).1),
            Self::Class { negated, ranges } => {
                if text.is_empty() {
                    return None;
                }
                let (character, length) = first_char(text);
                // A byte that is no character is in no class, so it is in every negated one.
                let inside =
                    character.is_some_and(|c| ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)));
                (inside != *negated).then_some(length)
            }
        }
    }
}

/// Runs the tokens over the whole of `text`. Going back to the last `*` alone
/// is enough: an earlier one could only give up bytes the later one takes.
fn run(tokens: &[Token], text: &[u8]) -> bool {
    let (mut token, mut at) = (0, 0);
    let mut retry = None;
    loop {
        let step = match tokens.get(token) {
            Some(Token::Many) => {
                token += 1;
                if token == tokens.len() {
                    return true;
                }
                retry = Some((token, at));
                continue;
            }
            Some(other) => other.takes(&text[at..]),
            None if at == text.len() => return true,
            None => None,
        };
        if let Some(length) = step {
            token += 1;
            at += length;
            continue;
        }
        let Some((after, from)) = retry else { return false };
        if from == text.len() {
            return false;
        }
        at = from + first_char(&text[from..]).1;
        token = after;
        retry = Some((after, at));
    }
}

/// The first character of non-empty `text` and its length; `None` and 1 for a byte that begins none.
fn first_char(text: &[u8]) -> (Option<char>, usize) {
    let length = match text[0] {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        byte => return (byte.is_ascii().then_some(char::from(byte)), 1),
    };
    match text.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok()).and_then(|s| s.chars().next())
    {
        Some(character) => (Some(character), length),
        None => (None, 1),
    }
}

fn tokenize(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut literal = String::new();
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        let token = match character {
            '\\' => {
                literal.push(rest.next().ok_or("ends with `\\`; write `\\\\` for a backslash")?);
                continue;
            }
            '*' if rest.peek() == Some(&'*') => {
                return Err("`**` must stand alone between slashes; within a name write one `*`".into());
            }
            '*' => Token::Many,
            '?' => Token::One,
            '[' => class(&mut rest)?,
            other => {
                literal.push(other);
                continue;
            }
        };
        if !literal.is_empty() {
            tokens.push(Token::Literal(std::mem::take(&mut literal).into_bytes().into()));
        }
        tokens.push(token);
    }
    if !literal.is_empty() {
        tokens.push(Token::Literal(literal.into_bytes().into()));
    }
    Ok(tokens)
}

/// Reads a class behind its `[`: `[abc]`, `[a-z]`, `[!abc]` or `[^abc]`.
fn class(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Token, String> {
    const OPEN: &str = "`[` has no closing `]`; write `\\[` for the character itself";
    let negated = rest.next_if(|c| matches!(c, '!' | '^')).is_some();
    let mut ranges = Vec::new();
    loop {
        let low = match rest.next().ok_or(OPEN)? {
            ']' if !ranges.is_empty() => return Ok(Token::Class { negated, ranges: ranges.into() }),
            '[' if matches!(rest.peek(), Some(':' | '.' | '=')) => {
                return Err("`[:…:]` is not known here; write the range itself, such as `[a-z]`".into());
            }
            '\\' => rest.next().ok_or(OPEN)?,
            other => other,
        };
        let mut ahead = rest.clone();
        if ahead.next() != Some('-') || matches!(ahead.next(), None | Some(']')) {
            ranges.push((low, low));
            continue;
        }
        rest.next();
        let high = match rest.next().ok_or(OPEN)? {
            '\\' => rest.next().ok_or(OPEN)?,
            other => other,
        };
        if low > high {
            return Err(format!("the range `{low}-{high}` is empty; write `{high}-{low}`"));
        }
        ranges.push((low, high));
    }
}
