//! The variables that Kubernetes adds to the environment of a pod for every Service of its namespace. A Service named `syncctl`, or `syncctl-…`, makes some
//! that look like settings. <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// Whether Kubernetes derived this variable from a Service: name and value have that form, and the address of the Service is in the environment too.
pub(super) fn is_of_a_service(name: &str, value: &str, environment: &BTreeMap<String, String>) -> bool {
    let services = environment
        .iter()
        .filter(|(_, address)| is_address(address))
        .filter_map(|(variable, _)| variable.strip_suffix("_SERVICE_HOST"));
    services.filter_map(|service| name.strip_prefix(service)).any(|rest| has_form(rest, value))
}

/// Whether the rest of a name, after that of the Service, has the form of such a variable, and the value too.
fn has_form(rest: &str, value: &str) -> bool {
    match rest.split('_').collect::<Vec<_>>().as_slice() {
        ["", "SERVICE", "HOST"] => is_address(value),
        // The rest is the name of the port.
        ["", "SERVICE", "PORT", ..] => is_port(value),
        ["", "PORT"] => is_url(value),
        ["", "PORT", port, protocol, attribute @ ..] if is_port(port) && is_protocol(protocol) => match attribute {
            [] => is_url(value),
            ["PROTO"] => is_protocol(&value.to_uppercase()),
            ["PORT"] => value == *port,
            ["ADDR"] => is_address(value),
            _ => false,
        },
        _ => false,
    }
}

fn is_address(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}

fn is_protocol(text: &str) -> bool {
    matches!(text, "TCP" | "UDP" | "SCTP")
}

/// `tcp://10.0.0.11:443`
fn is_url(text: &str) -> bool {
    text.split_once("://")
        .is_some_and(|(protocol, socket)| is_protocol(&protocol.to_uppercase()) && socket.parse::<SocketAddr>().is_ok())
}
