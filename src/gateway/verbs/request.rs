//! Which request a person means by an id or its beginning, and what became of one that is over; knows no door and asks nobody.

use crate::base::printable;
use crate::wire::v1::{Approval, ClosedRequest};

/// Least characters of an id's beginning that stand for it.
const BEGINNING: usize = 4;
/// Characters of an id in an error: ids of real agents are shorter.
const SHOWN: usize = 80;

/// Why nothing that waits is meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotOpen {
    #[error("no agent waits for {}; `approvals` shows what there is", printable(.0, SHOWN))]
    Unknown(String),
    #[error("{} stands for more than one request; give more of its id, or SESSION/ID", printable(.0, SHOWN))]
    Ambiguous(String),
    #[error(
        "request {} is already resolved: {} by {}",
        printable(id, SHOWN),
        printable(option, SHOWN),
        printable(by, SHOWN)
    )]
    Resolved { id: String, by: String, option: String },
    #[error("request {} has expired: {}", printable(id, SHOWN), printable(why, 400))]
    Expired { id: String, why: String },
}

/// The request of this id or beginning, or of this id in SESSION/ID. Ids are an agent's own, so a whole one is no better than the
/// beginning of another: where both are there, neither is meant.
///
/// # Errors
/// None, or more than one; or it is among those that are over, the oldest first.
pub(crate) fn find_request(open: &[Approval], closed: &[ClosedRequest], wanted: &str) -> Result<Approval, NotOpen> {
    let is_meant = |id: &str| id == wanted || wanted.len() >= BEGINNING && id.starts_with(wanted);
    let found: Vec<&Approval> = open.iter().filter(|approval| is_meant(request_id(approval))).collect();
    let past = || closed.iter().rev().filter(|past| is_meant(&past.id));
    match found[..] {
        // Whoever is late with a beginning means the one that is over.
        [one] if request_id(one) == wanted || past().next().is_none() => Ok(one.clone()),
        [] => match (in_session(open, wanted), past().find(|past| past.id == wanted).or(past().next())) {
            (Some(one), _) => Ok(one.clone()),
            (None, Some(past)) => Err(over(past)),
            (None, None) => Err(NotOpen::Unknown(wanted.to_owned())),
        },
        _ => Err(NotOpen::Ambiguous(wanted.to_owned())),
    }
}

fn in_session<'a>(open: &'a [Approval], wanted: &str) -> Option<&'a Approval> {
    let (session, id) = wanted.split_once('/')?;
    open.iter().find(|approval| approval.session == session && request_id(approval) == id)
}

fn over(past: &ClosedRequest) -> NotOpen {
    let ClosedRequest { id, by, option, why } = past.clone();
    if option.is_empty() { NotOpen::Expired { id, why } } else { NotOpen::Resolved { id, by, option } }
}

fn request_id(approval: &Approval) -> &str {
    let permission = approval.permission.as_ref().map(|permission| permission.id.as_str());
    permission.or(approval.question.as_ref().map(|question| question.id.as_str())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::v1::PermissionAsked;

    fn waits(session: &str, id: &str) -> Approval {
        let permission = Some(PermissionAsked { id: id.into(), ..PermissionAsked::default() });
        Approval { session: session.into(), permission, ..Approval::default() }
    }

    #[test]
    fn a_whole_id_is_no_better_than_the_beginning_of_another() {
        let open = [waits("evil", "5e02"), waits("mine", "5e02b7c1"), waits("mine", "77aa")];
        let find = |wanted: &str| find_request(&open, &[], wanted).map(|one| request_id(&one).to_owned());
        assert_eq!(find("5e02"), Err(NotOpen::Ambiguous("5e02".into())));
        assert_eq!(find("5e02b"), Ok("5e02b7c1".into()));
        assert_eq!(find("evil/5e02"), Ok("5e02".into()));
        assert_eq!(find("mine/5e02"), Err(NotOpen::Unknown("mine/5e02".into())));
        assert_eq!((find("77aa"), find("77")), (Ok("77aa".into()), Err(NotOpen::Unknown("77".into()))));
    }

    #[test]
    fn who_is_late_is_told_what_became_of_it() {
        let resolved =
            ClosedRequest { id: "ask-1".into(), by: "phone".into(), option: "no".into(), ..Default::default() };
        let expired = ClosedRequest { id: "gone-far".into(), why: "its turn ended".into(), ..Default::default() };
        let closed = [resolved, expired];
        let told = |wanted: &str| find_request(&[waits("a", "ask-10")], &closed, wanted).map_err(|why| why.to_string());
        assert_eq!(told("gone").unwrap_err(), "request gone-far has expired: its turn ended");
        assert_eq!(
            told("ask-1").unwrap_err(),
            "ask-1 stands for more than one request; give more of its id, or SESSION/ID"
        );
        assert!(told("ask-10").is_ok());
        assert_eq!(
            find_request(&[], &closed, "ask-").unwrap_err().to_string(),
            "request ask-1 is already resolved: no by phone"
        );
    }
}
