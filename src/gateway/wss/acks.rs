//! When acknowledgements of input go out: the first at once, with the echo, and then at most one in 50 ms. Does not know
//! what was typed.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// A person types slower than this and has each acknowledgement in one packet with the echo; a program that types
/// without a pause does not pay a JSON frame for each byte.
const APART: Duration = Duration::from_millis(50);

/// One connection's clock for them.
#[derive(Default)]
pub(super) struct Acks {
    sent: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Acks {
    /// Whether one may go out now; if not, [`Acks::poll_due`] will tell.
    pub(super) fn may_go(&mut self, now: Instant) -> bool {
        let due = self.sent.map_or(now, |sent| sent + APART);
        let may = due <= now && self.timer.is_none();
        if may {
            self.sent = Some(now);
        } else {
            self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        }
        may
    }

    /// Ready once those that had to wait may go.
    pub(super) fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.timer.as_mut().map(|timer| timer.as_mut().poll(cx)) {
            Some(Poll::Ready(())) => {
                self.timer = None;
                self.sent = Some(Instant::now());
                Poll::Ready(())
            }
            Some(Poll::Pending) | None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_goes_at_once_and_a_flood_of_others_together() {
        let mut acks = Acks::default();
        let begin = Instant::now();
        assert!(acks.may_go(begin));
        assert!((0..1000).all(|_| !acks.may_go(Instant::now())));
        std::future::poll_fn(|cx| acks.poll_due(cx)).await;
        assert_eq!(begin.elapsed(), APART);
        assert!(!acks.may_go(Instant::now()), "what went together counts");
        std::future::poll_fn(|cx| acks.poll_due(cx)).await;
        tokio::time::advance(APART).await;
        assert!(acks.may_go(Instant::now()));
    }
}
