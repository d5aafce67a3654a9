//! What was measured, as JSON.

use crate::{
    Outcome,
    figure::{Kind, Metric},
    guest::Net,
    stats::Samples,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::Path};

/// Everything of one run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Machine and versions, by what they are of.
    pub about: BTreeMap<String, String>,
    /// The figures.
    pub rows: Vec<Row>,
    /// Small figures, each by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub micros: Vec<Micro>,
}

/// A figure that is compared with nothing but its neighbours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Micro {
    /// Those of one group stand in one table.
    pub group: String,
    /// For the table.
    pub title: String,
    /// Unit.
    pub unit: String,
    /// Samples.
    pub samples: Samples,
}

/// One figure on one network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Name of the network.
    pub net: String,
    /// How it is measured.
    pub kind: Kind,
    /// Name of the metric.
    pub metric: String,
    /// For a table.
    pub title: String,
    /// Unit.
    pub unit: String,
    /// Whether more is better.
    pub more_is_better: bool,
    /// Samples by guest.
    pub guests: BTreeMap<String, Samples>,
    /// Shares of the instructions by program, by guest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub programs: BTreeMap<String, BTreeMap<String, f64>>,
}

impl Results {
    /// Fills in what was not measured this time from an earlier run.
    pub fn complete(&mut self, earlier: Results) {
        if self.rows.is_empty() {
            self.rows = earlier.rows;
            self.about = earlier.about;
        }
        if self.micros.is_empty() {
            self.micros = earlier.micros;
        }
    }

    /// Adds the samples of a row to those of the same metric.
    pub fn add(&mut self, row: Row) {
        match self.find(&row.net, row.kind, &row.metric) {
            Some(known) => {
                for (guest, samples) in row.guests {
                    known.guests.entry(guest).or_default().0.extend(samples.0);
                }
            }
            None => self.rows.push(row),
        }
    }

    /// Notes how the instructions of a metric are divided among the programs of a guest, in percent.
    pub fn divide(&mut self, net: Net, metric: &Metric, guest: &str, shares: Vec<(String, f64)>) {
        if let Some(row) = self.find(net.name(), metric.kind, metric.name) {
            row.programs
                .insert(guest.into(), shares.into_iter().collect());
        }
    }

    fn find(&mut self, net: &str, kind: Kind, metric: &str) -> Option<&mut Row> {
        let mut rows = self.rows.iter_mut();
        rows.find(|row| (row.net.as_str(), row.kind, row.metric.as_str()) == (net, kind, metric))
    }

    /// Writes them to a file.
    ///
    /// # Errors
    /// Of the file system.
    pub fn save(&self, path: &Path) -> Outcome {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(std::fs::write(path, text)?)
    }

    /// Reads them from a file.
    ///
    /// # Errors
    /// If it is not there or holds something else.
    pub fn load(path: &Path) -> Outcome<Results> {
        Ok(serde_json::from_str(&std::fs::read_to_string(path)?)?)
    }
}

impl Row {
    /// The median of one guest divided by that of another.
    pub fn ratio(&self, guest: &str, other: &str) -> Option<f64> {
        let ratio = self.guests.get(guest)?.median()? / self.guests.get(other)?.median()?;
        (guest != other && ratio.is_finite()).then_some(ratio)
    }

    /// A row with one sample.
    pub fn sample(net: Net, metric: &Metric, guest: &str, value: f64) -> Row {
        Row {
            net: net.name().into(),
            kind: metric.kind,
            metric: metric.name.into(),
            title: metric.title.into(),
            unit: metric.unit.clone(),
            more_is_better: metric.more_is_better,
            guests: BTreeMap::from([(guest.into(), Samples(vec![value]))]),
            programs: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Figure;

    #[test]
    fn samples_come_together_and_survive_a_file() {
        let metric = Figure::TcpOut.metric(Kind::Time).unwrap();
        let counted = Figure::TcpOut.metric(Kind::Instructions).unwrap();
        let mut results = Results::default();
        results.add(Row::sample(Net::Tap, &metric, "linux", 5.0));
        results.add(Row::sample(Net::Tap, &metric, "causeway", 9.0));
        results.add(Row::sample(Net::Tap, &metric, "linux", 6.0));
        results.add(Row::sample(Net::Slirp, &metric, "linux", 1.0));
        results.add(Row::sample(Net::Tap, &counted, "linux", 2.0));
        results.divide(Net::Tap, &counted, "linux", vec![("kernel".into(), 100.0)]);
        assert_eq!(results.rows.len(), 3);
        assert_eq!(results.rows[2].programs["linux"]["kernel"], 100.0);
        assert_eq!(results.rows[0].guests["linux"], Samples(vec![5.0, 6.0]));
        let text = serde_json::to_string(&results).unwrap();
        assert_eq!(serde_json::from_str::<Results>(&text).unwrap(), results);
    }
}
