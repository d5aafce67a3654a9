//! What was measured, as JSON.

use crate::{Outcome, figure::Metric, guest::Net, stats::Samples};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::Path};

/// Everything of one run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Machine and versions, by what they are of.
    pub about: BTreeMap<String, String>,
    /// The figures.
    pub rows: Vec<Row>,
}

/// One figure on one network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Name of the network.
    pub net: String,
    /// Whether guest instructions are counted; else time is measured.
    pub instructions: bool,
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
    /// Adds the samples of a row to those of the same metric.
    pub fn add(&mut self, row: Row) {
        let known = self.rows.iter_mut().find(|known| {
            (&known.net, known.instructions, &known.metric)
                == (&row.net, row.instructions, &row.metric)
        });
        match known {
            Some(known) => {
                for (guest, samples) in row.guests {
                    known.guests.entry(guest).or_default().0.extend(samples.0);
                }
                known.programs.extend(row.programs);
            }
            None => self.rows.push(row),
        }
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
    /// A row with one sample.
    pub fn sample(net: Net, instructions: bool, metric: &Metric, guest: &str, value: f64) -> Row {
        Row {
            net: net.name().into(),
            instructions,
            metric: metric.name.into(),
            title: metric.title.into(),
            unit: metric.unit.into(),
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
        let metric = Figure::TcpOut.metrics()[0];
        let mut results = Results::default();
        results.add(Row::sample(Net::Tap, false, &metric, "linux", 5.0));
        results.add(Row::sample(Net::Tap, false, &metric, "causeway", 9.0));
        results.add(Row::sample(Net::Tap, false, &metric, "linux", 6.0));
        results.add(Row::sample(Net::Slirp, false, &metric, "linux", 1.0));
        results.add(Row::sample(Net::Tap, true, &metric, "linux", 2.0));
        assert_eq!(results.rows.len(), 3);
        assert_eq!(results.rows[0].guests["linux"], Samples(vec![5.0, 6.0]));
        let text = serde_json::to_string(&results).unwrap();
        assert_eq!(serde_json::from_str::<Results>(&text).unwrap(), results);
    }
}
