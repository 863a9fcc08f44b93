//! Just enough of URLs to say whose server one names.

use std::net::IpAddr;

/// Scheme, host and port of an http(s) address in small letters, the port always there; none when
/// it is no such address or names a user.
pub(crate) fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.trim().split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "https" => "443",
        "http" => "80",
        _ => return None,
    };
    let authority = rest.split(['/', '?', '#']).next()?;
    if authority.contains(['@', '\\']) || authority.contains(char::is_whitespace) {
        return None;
    }
    let (host, port) = match authority.rsplit_once(':') {
        // The colons of an IPv6 address stand inside brackets.
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (authority, default_port),
    };
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    (digits && !host.is_empty()).then(|| format!("{scheme}://{}:{port}", host.to_ascii_lowercase()))
}

/// Whether two addresses are the same server's.
pub(super) fn same_origin(one: &str, other: &str) -> bool {
    let one = origin(one);
    one.is_some() && one == origin(other)
}

/// Whether an address is on this machine.
pub(crate) fn is_loopback(url: &str) -> bool {
    let Some(origin) = origin(url) else { return false };
    let host = origin.split_once("://").map_or("", |(_, rest)| rest);
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    // A name may begin like an address, and lead anywhere.
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
