//! Medians of interleaved rounds and their ratios; does not know what was measured.

/// The middle of the values; of an even number the upper one.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value below which `q` of all lie.
pub(crate) fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = ((sorted.len() as f64) * q) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// One figure of several peers over rounds; the first peer is what the others are divided by.
pub(crate) struct Table {
    title: String,
    unit: &'static str,
    peers: Vec<String>,
    rounds: Vec<Vec<f64>>,
}

impl Table {
    pub(crate) fn new(title: &str, unit: &'static str, peers: &[&str]) -> Self {
        Self {
            title: title.into(),
            unit,
            peers: peers.iter().map(|peer| (*peer).to_owned()).collect(),
            rounds: Vec::new(),
        }
    }

    /// The values of one round, in the peers' order; NaN where a peer has none.
    pub(crate) fn round(&mut self, values: Vec<f64>) {
        self.rounds.push(values);
    }

    pub(crate) fn print(&self) {
        println!(
            "{} [{}], median (min-max) of {} rounds; x = median (min-max) of per-round ratios to {}",
            self.title,
            self.unit,
            self.rounds.len(),
            self.peers[0]
        );
        for (at, peer) in self.peers.iter().enumerate() {
            let values: Vec<f64> = self.rounds.iter().map(|round| round[at]).collect();
            let ratios: Vec<f64> = self.rounds.iter().map(|round| round[at] / round[0]).collect();
            println!("  {peer:<12} {}   x {}", span(&values), span(&ratios));
        }
    }
}

fn span(values: &[f64]) -> String {
    format!("{:>9.3} ({:.3}-{:.3})", median(values), quantile(values, 0.0), quantile(values, 1.0))
}
