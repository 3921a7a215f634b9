//! The variables of OpenTelemetry that mean something here, read once at the start.

use crate::base::limits;
use crate::cli::env::Env;
use crate::observe::spans::Sampler;

/// Where spans go, and how.
pub struct Wish {
    /// The whole URL.
    pub url: String,
    pub headers: Vec<(String, String)>,
    /// Attributes of the resource, `service.name` among them.
    pub resource: Vec<(String, String)>,
    pub sampler: Sampler,
    pub queue: usize,
    pub batch: usize,
    pub delay_ms: u64,
    pub timeout_ms: u64,
}

impl Wish {
    /// `None`: nothing is traced. The error is for people and names the variable.
    pub fn from_env(env: &Env) -> Result<Option<Wish>, String> {
        let text = |name: &str| env.get(name).map(|(value, _)| value.trim()).filter(|value| !value.is_empty());
        let is_off = text("OTEL_SDK_DISABLED").is_some_and(|word| word.eq_ignore_ascii_case("true"))
            || text("OTEL_TRACES_EXPORTER") == Some("none");
        let own = text("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").map(str::to_owned);
        let base = text("OTEL_EXPORTER_OTLP_ENDPOINT").map(|base| format!("{}/v1/traces", base.trim_end_matches('/')));
        let Some(url) = own.or(base).filter(|_| !is_off) else { return Ok(None) };
        if !(url.starts_with("http://") || url.starts_with("https://")) {
            return Err("OTEL_EXPORTER_OTLP_ENDPOINT must be a URL that begins with http:// or https://".to_owned());
        }
        let protocol = text("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL").or_else(|| text("OTEL_EXPORTER_OTLP_PROTOCOL"));
        if protocol.is_some_and(|protocol| protocol != "http/json") {
            let remedy = "collectors take http/json on their HTTP port, usually 4318";
            return Err(format!("OTEL_EXPORTER_OTLP_PROTOCOL must be http/json or unset ({remedy})"));
        }
        let number = |name: &str, usual: u64, most: u64| match text(name).map(str::parse::<u64>) {
            None => Ok(usual),
            Some(Ok(number)) if (1..=most).contains(&number) => Ok(number),
            Some(_) => Err(format!("{name} must be a whole number from 1 to {most}")),
        };
        let headers = text("OTEL_EXPORTER_OTLP_TRACES_HEADERS").or_else(|| text("OTEL_EXPORTER_OTLP_HEADERS"));
        let resource = pairs(text("OTEL_RESOURCE_ATTRIBUTES")).ok_or_else(|| wrong_pairs("OTEL_RESOURCE_ATTRIBUTES"))?;
        let timeout = text("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT")
            .map_or("OTEL_EXPORTER_OTLP_TIMEOUT", |_| "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT");
        Ok(Some(Wish {
            url,
            headers: pairs(headers).ok_or_else(|| wrong_pairs("OTEL_EXPORTER_OTLP_HEADERS"))?,
            resource: with_service_name(resource, text("OTEL_SERVICE_NAME")),
            sampler: Sampler::from_words(text("OTEL_TRACES_SAMPLER"), text("OTEL_TRACES_SAMPLER_ARG"))?,
            queue: number("OTEL_BSP_MAX_QUEUE_SIZE", limits::SPANS_QUEUED as u64, limits::SPANS_QUEUED_MAX as u64)? as usize,
            batch: number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", limits::SPANS_BATCH as u64, limits::SPANS_QUEUED as u64)? as usize,
            delay_ms: number("OTEL_BSP_SCHEDULE_DELAY", limits::SPANS_DELAY_MS, 3_600_000)?,
            timeout_ms: number(timeout, limits::SPANS_TIMEOUT_MS, 600_000)?,
        }))
    }

    /// The collector for people: what stands behind the host may hold a key.
    pub fn shown(&self) -> String {
        let (scheme, rest) = self.url.split_once("://").unwrap_or(("http", ""));
        let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        format!("{scheme}://{host}")
    }
}

fn wrong_pairs(name: &str) -> String {
    format!("{name} must be name=value pairs with commas between them, values percent-encoded")
}

fn with_service_name(mut resource: Vec<(String, String)>, name: Option<&str>) -> Vec<(String, String)> {
    let is_named = resource.iter().any(|(key, _)| key == "service.name");
    if let Some(name) = name.or((!is_named).then_some("lasso")) {
        resource.retain(|(key, _)| key != "service.name");
        resource.insert(0, ("service.name".to_owned(), name.to_owned()));
    }
    resource
}

/// `a=1,b=2%20c`, as W3C Baggage writes it.
fn pairs(text: Option<&str>) -> Option<Vec<(String, String)>> {
    let items = text.unwrap_or_default().split(',').map(str::trim).filter(|item| !item.is_empty());
    items
        .map(|item| {
            let (key, value) = item.split_once('=')?;
            Some((key.trim().to_owned(), unescaped(value.trim())?)).filter(|(key, _)| !key.is_empty())
        })
        .collect()
}

fn unescaped(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        out.push(u8::try_from(high << 4 | low).ok()?);
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vars: &[(&str, &str)]) -> Result<Option<Wish>, String> {
        Wish::from_env(&Env::new(vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())), None))
    }

    const AT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/");

    #[test]
    fn nothing_is_traced_unless_somebody_says_where_to() {
        let is_off = |vars: &[(&str, &str)]| read(vars).expect("good variables").is_none();
        assert!(is_off(&[]) && is_off(&[("OTEL_SERVICE_NAME", "x"), ("OTEL_TRACES_SAMPLER", "always_on")]));
        assert!(is_off(&[AT, ("OTEL_SDK_DISABLED", "TRUE")]) && is_off(&[AT, ("OTEL_TRACES_EXPORTER", "none")]));
        assert!(!is_off(&[AT]));
    }

    #[test]
    fn variables_by_the_book() {
        let wish = read(&[
            AT,
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20YQ==, x-team = a"),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod,service.name=other"),
            ("OTEL_SERVICE_NAME", "edge"),
            ("OTEL_BSP_SCHEDULE_DELAY", "200"),
        ]);
        let wish = wish.expect("good variables").expect("traces");
        assert_eq!((wish.url.as_str(), wish.shown().as_str()), ("http://collector:4318/v1/traces", "http://collector:4318"));
        let owned = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Vec<_>>();
        assert_eq!(wish.headers, owned(&[("authorization", "Basic YQ=="), ("x-team", "a")]));
        assert_eq!(wish.resource, owned(&[("service.name", "edge"), ("deployment.environment.name", "prod")]));
        assert_eq!((wish.delay_ms, wish.batch, wish.timeout_ms), (200, limits::SPANS_BATCH, limits::SPANS_TIMEOUT_MS));

        let own = [AT, ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://user:key@c.example/in?token=s3cret")];
        let wish = read(&own).expect("good variables").expect("traces");
        assert_eq!((wish.url.as_str(), wish.shown().as_str()), (own[1].1, "https://c.example"));
        assert_eq!(wish.resource, owned(&[("service.name", "lasso")]));
    }

    #[test]
    fn what_cannot_be_meant_stops_the_start() {
        let check = |name: &str, value: &str, part: &str| {
            let told = read(&[AT, (name, value)]).map(|_| ()).expect_err(name);
            assert!(told.contains(part), "{told}");
        };
        check("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4318", "http://");
        check("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/json");
        check("OTEL_EXPORTER_OTLP_HEADERS", "authorization", "name=value");
        check("OTEL_RESOURCE_ATTRIBUTES", "a=%zz", "OTEL_RESOURCE_ATTRIBUTES");
        check("OTEL_TRACES_SAMPLER", "sometimes", "OTEL_TRACES_SAMPLER");
        check("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "0", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE");
    }
}
