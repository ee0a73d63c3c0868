//! Metrics, in the text form of `OpenMetrics`.

mod controller;
mod metallb;
mod speaker;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::atomic::AtomicU64;

use lbk8s::controller::ControllerStatus;
use lbk8s::durations::Durations;
use lbk8s::objects::{Problem, Severity};
use lbk8s::speaker::SpeakerStatus;
use lbk8s::speaker::view::AddressView;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::Asked;
use crate::cli::MetricsArguments;

/// What `/metrics` is.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Labels, by name.
type Labels = Vec<(&'static str, String)>;

/// All that metrics are made of.
#[derive(Debug, Default)]
pub(super) struct Known {
    speaker: Option<SpeakerStatus>,
    /// The addresses, if anything of them is to be told.
    addresses: Vec<AddressView>,
    controller: Option<ControllerStatus>,
}

impl Known {
    /// Nothing if somebody does not answer.
    pub(super) async fn ask(asked: &Asked) -> Option<Self> {
        let mut known = Self::default();
        if let Some(speaker) = &asked.speaker {
            known.speaker = Some(speaker.status().await?);
            if asked.metrics.metallb_metric_names {
                known.addresses = speaker.addresses().await?;
            }
        }
        if let Some(controller) = &asked.controller {
            known.controller = Some(controller.status().await);
        }
        Some(known)
    }

    pub(super) fn text(&self, chosen: &MetricsArguments) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        build_info(&mut Metrics(registry.sub_registry_with_prefix("lbd")));
        if let Some(status) = &self.speaker {
            let mut metrics = Metrics(registry.sub_registry_with_prefix("lbd_speaker"));
            speaker::register(&mut metrics, status);
            if chosen.metrics_by_address {
                speaker::register_by_address(&mut metrics, status);
            }
        }
        if let Some(status) = &self.controller {
            controller::register(&mut Metrics(registry.sub_registry_with_prefix("lbd_controller")), status);
        }
        if chosen.metallb_metric_names {
            let mut metrics = Metrics(registry.sub_registry_with_prefix("metallb"));
            metallb::register(&mut metrics, self);
        }
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

fn build_info(metrics: &mut Metrics<'_>) {
    let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
    metrics.gauges("build_info", "The version that runs", [(version, 1.0)]);
}

/// Where metrics are put, each with the value that it has now.
struct Metrics<'a>(&'a mut Registry);

impl Metrics<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: usize) {
        let gauge = Gauge::<i64>::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        self.0.register(name, help, gauge);
    }

    fn gauges(&mut self, name: &str, help: &str, values: impl IntoIterator<Item = (Labels, f64)>) {
        let family = Family::<Labels, Gauge<f64, AtomicU64>>::default();
        for (labels, value) in values {
            family.get_or_create(&labels).set(value);
        }
        self.0.register(name, help, family);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        let counter = Counter::<u64>::default();
        counter.inc_by(value);
        self.0.register(name, help, counter);
    }

    fn counters(&mut self, name: &str, help: &str, values: impl IntoIterator<Item = (Labels, u64)>) {
        let family = Family::<Labels, Counter>::default();
        for (labels, value) in values {
            family.get_or_create(&labels).inc_by(value);
        }
        self.0.register(name, help, family);
    }

    fn counter_of(&mut self, name: &str, help: &str, unit: Unit, value: f64) {
        let counter = Counter::<f64, AtomicU64>::default();
        counter.inc_by(value);
        self.0.register_with_unit(name, help, unit, counter);
    }

    fn durations(&mut self, name: &str, help: &str, durations: &Durations) {
        self.0.register_with_unit(name, help, Unit::Seconds, Histogram(durations.clone()));
    }

    #[expect(clippy::cast_precision_loss, reason = "metrics are floating-point numbers")]
    fn problems(&mut self, help: &str, problems: &[Problem]) {
        let of = |severity| problems.iter().filter(|problem| problem.severity == severity).count() as f64;
        let label = |severity: &str| vec![("severity", severity.to_owned())];
        let counts = [(label("error"), of(Severity::Error)), (label("warning"), of(Severity::Warning))];
        self.gauges("problems", help, counts);
    }
}

/// Durations by class.
#[derive(Debug)]
struct Histogram(Durations);

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let Durations { count, seconds, up_to, .. } = &self.0;
        // Here each class is counted by itself.
        let mut below = 0;
        let mut classes: Vec<(f64, u64)> = Vec::new();
        for (end, cumulative) in up_to {
            classes.push((*end, cumulative - below));
            below = *cumulative;
        }
        classes.push((f64::MAX, count - below));
        encoder.encode_histogram::<NoLabelSet>(*seconds, *count, &classes, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}
