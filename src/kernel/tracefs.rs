//! Reads `events/CATEGORY/EVENT/format` of tracefs: where each field of a
//! tracepoint record lies on this kernel. Offsets differ between kernels (the
//! comms of `sched_process_fork` became `__data_loc` after 6.12, RHEL 9 shifts all
//! fields by `common_preempt_lazy_count`), and reading with another kernel's
//! offsets gives garbage in silence; so they are always asked for.
//! The parser is pure and takes any bytes.

use std::fmt;
use std::path::{Path, PathBuf};

use super::{Places, mounts, plain, read_bounded};

/// The longest of the 2323 format files of a 6.18 kernel has 5.5 KiB, most of it its `print fmt`.
const FORMAT_LIMIT: usize = 256 << 10;
/// The kernel's own records are limited to a page; 64 KiB is the largest page.
const RECORD_LIMIT: u32 = 64 << 10;
/// More than any tracepoint has (on 6.18 the most is 24).
const FIELD_LIMIT: usize = 256;

/// How a field holds its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// In place.
    Value,
    /// In place, an array of this many elements.
    Array(u32),
    /// `__data_loc`: a u32; its low half is the offset of the data from the start of the record, its
    /// high half the length.
    DataLoc,
    /// `__rel_loc`: the same, but the offset counts from the end of this field.
    RelLoc,
}

/// One field of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// `parent_pid`.
    pub name: String,
    /// The C type as written, without name, array length and `__data_loc`.
    pub ctype: String,
    /// Bytes from the start of the record.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
    /// Whether it is a signed number. Arrays of `char` differ between kernels in this.
    pub signed: bool,
    /// In place or elsewhere.
    pub kind: Kind,
}

/// The layout of one event's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// `sched_process_fork`.
    pub name: String,
    /// The event's number in `perf_event_attr.config`.
    pub id: u32,
    /// All fields, the `common_*` ones first.
    pub fields: Vec<Field>,
}

impl Format {
    /// The field called `name`.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// Why a format is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormatError {
    /// tracefs is mounted nowhere.
    NoTracefs,
    /// The kernel has no such event.
    NoEvent(PathBuf),
    /// The file could not be read, and why.
    Unreadable(PathBuf, String),
    /// The text is not a format: the line (from 1) and what is wrong with it.
    Line(usize, &'static str),
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTracefs => {
                f.write_str("tracefs is not mounted (mount -t tracefs tracefs /sys/kernel/tracing)")
            }
            Self::NoEvent(path) => write!(f, "{}: this kernel has no such event", path.display()),
            Self::Unreadable(path, why) => write!(f, "{}: {why}", path.display()),
            Self::Line(number, what) => write!(f, "event format, line {number}: {what}"),
        }
    }
}

impl std::error::Error for FormatError {}

/// Where tracefs is: mounted by itself, or inside debugfs. `Ok(None)`: nowhere.
pub fn find(places: &Places) -> std::io::Result<Option<PathBuf>> {
    let mounts = mounts::read(places)?;
    if let Some(mount) = mounts::find(&mounts, "tracefs", Path::new("/sys/kernel/tracing")) {
        return Ok(Some(places.join(&mount.point)));
    }
    // debugfs mounts it on the first access below `tracing`.
    let debugfs = mounts::find(&mounts, "debugfs", Path::new("/sys/kernel/debug"));
    Ok(debugfs
        .map(|mount| places.join(&mount.point).join("tracing"))
        .filter(|path| path.join("events").exists()))
}

/// The format of `category/event`, read from the kernel.
pub fn format(places: &Places, category: &str, event: &str) -> Result<Format, FormatError> {
    let tracefs = find(places)
        .map_err(|error| FormatError::Unreadable(places.proc.join("self/mountinfo"), plain(&error)))?;
    format_in(&tracefs.ok_or(FormatError::NoTracefs)?, category, event)
}

/// The same from a tracefs at this place.
pub fn format_in(tracefs: &Path, category: &str, event: &str) -> Result<Format, FormatError> {
    let path = tracefs.join("events").join(category).join(event).join("format");
    match read_bounded(&path, FORMAT_LIMIT) {
        Ok(text) => parse(&text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(FormatError::NoEvent(path)),
        Err(error) => Err(FormatError::Unreadable(path, plain(&error))),
    }
}

/// Parses the text of a format file.
///
/// Strict where a mistake would make us read a wrong place: every field must
/// have offset and size, lie inside a record and not lie over another.
pub fn parse(text: &[u8]) -> Result<Format, FormatError> {
    let mut format = Format { name: String::new(), id: 0, fields: Vec::new() };
    let mut in_fields = false;
    let mut last = 0;
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        last = number;
        let wrong = |what| FormatError::Line(number, what);
        if line.starts_with(b"print fmt:") {
            break; // the rest is for printing, and may be of any length and form
        }
        let line = std::str::from_utf8(line).map_err(|_| wrong("not UTF-8"))?.trim();
        if let Some(name) = line.strip_prefix("name:") {
            format.name = name.trim().to_owned();
        } else if let Some(id) = line.strip_prefix("ID:") {
            format.id = id.trim().parse().map_err(|_| wrong("the ID is not a number"))?;
        } else if line == "format:" {
            in_fields = true;
        } else if let Some(field) = line.strip_prefix("field:").filter(|_| in_fields) {
            let field = parse_field(field).map_err(wrong)?;
            check(&field, &format.fields).map_err(wrong)?;
            format.fields.push(field);
        } else if !line.is_empty() {
            return Err(wrong("neither a field nor a heading"));
        }
    }
    if format.fields.is_empty() {
        return Err(FormatError::Line(last, "there is no field"));
    }
    Ok(format)
}

/// `pid_t child_pid; offset:20; size:4; signed:1;`, with tabs between.
fn parse_field(text: &str) -> Result<Field, &'static str> {
    let mut parts = text.split(';').map(str::trim);
    let declaration = parts.next().unwrap_or_default();
    let (mut offset, mut size, mut signed) = (None, None, false);
    for part in parts.filter(|part| !part.is_empty()) {
        let (key, value) = part.split_once(':').ok_or("a property without a value")?;
        let number = || value.parse::<u32>().map_err(|_| "a property that is not a number");
        match key {
            "offset" => offset = Some(number()?),
            "size" => size = Some(number()?),
            // Not on very old kernels; then false.
            "signed" => signed = number()? != 0,
            _ => {} // a newer kernel may add some
        }
    }
    let (name, ctype, kind) = parse_declaration(declaration)?;
    Ok(Field {
        name: name.to_owned(),
        ctype: ctype.to_owned(),
        offset: offset.ok_or("a field without an offset")?,
        size: size.ok_or("a field without a size")?,
        signed,
        kind,
    })
}

/// `__data_loc char[] parent_comm`, `char comm[16]`, `const char * filename`.
fn parse_declaration(text: &str) -> Result<(&str, &str, Kind), &'static str> {
    let (text, mut kind) = match text.split_once(' ') {
        Some(("__data_loc", rest)) => (rest.trim_start(), Kind::DataLoc),
        Some(("__rel_loc", rest)) => (rest.trim_start(), Kind::RelLoc),
        _ => (text, Kind::Value),
    };
    let split = text.rfind([' ', '*']).ok_or("a field without a type")? + 1;
    let (ctype, mut name) = (text[..split].trim_end(), &text[split..]);
    if let Some((bare, length)) = name.split_once('[') {
        name = bare;
        let length = length.strip_suffix(']').ok_or("an array without its end")?;
        if kind == Kind::Value {
            // A length may be a constant's name (`args[MAX]`) on old kernels: then the size tells.
            kind = Kind::Array(length.parse().unwrap_or(0));
        }
    }
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || !name.bytes().all(word) {
        return Err("a field whose name is not a C name");
    }
    Ok((name, ctype, kind))
}

fn check(field: &Field, before: &[Field]) -> Result<(), &'static str> {
    let end = field.offset.checked_add(field.size).filter(|end| *end <= RECORD_LIMIT);
    let end = end.ok_or("a field outside of any record")?;
    if matches!(field.kind, Kind::DataLoc | Kind::RelLoc) && field.size != 4 {
        return Err("a data location that is not four bytes");
    }
    if before.len() >= FIELD_LIMIT {
        return Err("too many fields");
    }
    if before.iter().any(|other| other.name == field.name) {
        return Err("a field that was there before");
    }
    if before.iter().any(|other| field.offset < other.offset + other.size && other.offset < end) {
        return Err("a field that lies over another");
    }
    Ok(())
}
