//! What must be installed before the types can be made, and what is not, with the
//! names of Debian's packages.

use super::compiler::{self, Compiler};
use super::headers::{Arch, Headers};

/// Something that is not installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What it is, and how that was found out.
    pub what: String,
    /// The package that brings it.
    pub package: String,
    /// Another one, where the first may have left the archive.
    pub instead: Option<String>,
}

/// Headers, if they were found, and the compilers for them; or everything that is missing.
pub(super) fn survey(
    release: &str,
    headers: Result<Headers, String>,
) -> Result<(Headers, Vec<Compiler>), Vec<Missing>> {
    let mut missing = Vec::new();
    // Without headers it is still worth knowing whether there will be a compiler.
    let compilers = match &headers {
        Ok(headers) => compiler::find(headers),
        Err(why) => {
            missing.push(no_headers(release, why));
            native().map(compiler::any).unwrap_or_default()
        }
    };
    if compilers.is_empty() {
        missing.push(Missing { what: "a C compiler".to_owned(), package: "gcc".to_owned(), instead: None });
    }
    headers.ok().filter(|_| missing.is_empty()).map(|headers| (headers, compilers)).ok_or(missing)
}

fn native() -> Option<Arch> {
    [Arch::X86, Arch::Arm].into_iter().find(|arch| arch.is_native())
}

fn no_headers(release: &str, why: &str) -> Missing {
    let (package, instead) = headers_packages(release);
    Missing { what: format!("the headers of {release} ({why})"), package, instead }
}

/// The package with the headers of a kernel, by what the kernel is called.
fn headers_packages(release: &str) -> (String, Option<String>) {
    let package = format!("linux-headers-{release}");
    // 6.12.20+rpt-rpi-2712, 6.1.0-rpi7-rpi-v8: Raspberry Pi OS since Debian 12. Its archive
    // keeps the newest only, which the package without a version brings.
    if let Some((_, flavour)) = release.rsplit_once("-rpi-") {
        return (package, Some(format!("linux-headers-rpi-{flavour}")));
    }
    // 6.1.21-v8+: Raspberry Pi OS before, and kernels of rpi-update.
    if release.ends_with('+') && release.contains("-v") {
        return ("raspberrypi-kernel-headers".to_owned(), None);
    }
    (package, None)
}

/// The packages to install, in words: `linux-headers-6.1.0-9-amd64, gcc`.
pub fn packages(missing: &[Missing]) -> String {
    let names = missing.iter().map(|missing| match &missing.instead {
        Some(other) => format!("{} (or {other} and the kernel that comes with it)", missing.package),
        None => missing.package.clone(),
    });
    names.collect::<Vec<_>>().join(", ")
}

pub(super) fn sentence(release: &str, missing: &[Missing]) -> String {
    let mut text = format!("the types of {release} cannot be made, something is not installed:\n");
    for one in missing {
        text.push_str(&format!("  {}: package {}\n", one.what, one.package));
    }
    let names: Vec<&str> = missing.iter().map(|missing| missing.package.as_str()).collect();
    text.push_str(&format!("install with: apt install {}", names.join(" ")));
    for other in missing.iter().filter_map(|missing| missing.instead.as_ref()) {
        text.push_str(&format!(
            "\nwhere that is no longer offered: apt install {other}, and boot the kernel it is for"
        ));
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::headers;
    use super::*;
    use crate::kernel::Places;

    #[test]
    fn everything_that_is_missing_is_named_at_once_with_its_package() {
        let release = "6.12.20+rpt-rpi-2712";
        let none = headers::find(&Places::under("/nonexistent"), release, None);
        let missing = survey(release, none).unwrap_err();
        let headers = &missing[0];
        assert_eq!(headers.package, "linux-headers-6.12.20+rpt-rpi-2712");
        assert_eq!(headers.instead.as_deref(), Some("linux-headers-rpi-2712"));
        let gcc = Missing { what: "a C compiler".into(), package: "gcc".into(), instead: None };
        let all = [headers.clone(), gcc];
        let text = sentence("6.12.20+rpt-rpi-2712", &all);
        for line in [
            "  the headers of 6.12.20+rpt-rpi-2712 (/nonexistent/lib/modules/6.12.20+rpt-rpi-2712/build/include/generated/autoconf.h is not there): package linux-headers-6.12.20+rpt-rpi-2712",
            "  a C compiler: package gcc",
            "install with: apt install linux-headers-6.12.20+rpt-rpi-2712 gcc",
            "where that is no longer offered: apt install linux-headers-rpi-2712, and boot the kernel it is for",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line:?} in\n{text}");
        }
        let words = packages(&all);
        assert!(
            words.starts_with("linux-headers-6.12.20+rpt-rpi-2712 (or linux-headers-rpi-2712")
                && words.ends_with(", gcc")
        );
    }

    #[test]
    fn the_packages_of_each_kind_of_kernel() {
        let of = |release: &str| {
            let (package, instead) = headers_packages(release);
            (package, instead.unwrap_or_default())
        };
        assert_eq!(of("6.1.0-56-amd64"), ("linux-headers-6.1.0-56-amd64".into(), String::new()));
        assert_eq!(
            of("6.1.0-rpi7-rpi-v8"),
            ("linux-headers-6.1.0-rpi7-rpi-v8".into(), "linux-headers-rpi-v8".into())
        );
        assert_eq!(of("6.1.21-v8+"), ("raspberrypi-kernel-headers".into(), String::new()));
        assert_eq!(of("6.8.0-31-generic"), ("linux-headers-6.8.0-31-generic".into(), String::new()));
    }
}
