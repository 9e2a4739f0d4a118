//! The verbs of structured sessions over wss: what ssh does with them, done from outside, across broken connections. Knows no TLS.

use super::ClientError;
use super::connect::{ConnectError, Connection, Dialler, send};
use super::feed::{Fed, Feed, Heard, fetch};
use super::status::{AGAIN, FAILED, LOST};
use super::verbs::{print, print_as_it_is, strange};
use crate::base::SessionId;
use crate::gateway::verbs::{
    AgentVerb, DecideVerb, EventsVerb, From, Outcome, PromptVerb, Step, TurnWatch, approvals_json, approvals_text,
    choose, event_line, find_request, question_answers, rules_text,
};
use crate::wire::v1::agent_request::Request;
use crate::wire::v1::{self, Approval, client_message::Body as Ask, server_message::Body};

pub(super) async fn run(verb: AgentVerb, mut connection: Connection, dialler: Dialler) -> Result<u8, ClientError> {
    let (session, request) = match verb {
        AgentVerb::Prompt(verb) => return prompt(verb, connection, dialler).await,
        AgentVerb::Events(verb) => return events(&verb, connection, dialler).await,
        AgentVerb::Whole { session, number, raw } => {
            let mut event = fetch(&mut connection, &dialler, session.as_str(), number).await?;
            if !raw {
                event.raw.clear();
            }
            return print(&event_line(number, event)).map(|()| 0);
        }
        AgentVerb::Acp(verb) => return super::acp::run(verb, connection, dialler).await,
        AgentVerb::Approvals { json } => {
            let approvals = approvals(&mut connection, &dialler).await?.approvals;
            return print(&if json { approvals_json(&approvals) } else { approvals_text(&approvals) }).map(|()| 0);
        }
        AgentVerb::Rules { session } => {
            let mut feed = Feed::new(session.to_string(), false, dialler);
            let attached = feed.attach(&mut connection, From::Live).await?;
            return print(&rules_text(&attached.agent.unwrap_or_default().rules)).map(|()| 0);
        }
        AgentVerb::Decide(verb) => decide(verb, &mut connection, &dialler).await?,
        AgentVerb::Answer { request, answers } => {
            let approval = find(&request, &mut connection, &dialler).await?;
            let asked =
                approval.question.ok_or_else(|| refused(format!("{request} is no question: approve or deny it")))?;
            let answers = question_answers(&asked, &answers).map_err(refused)?;
            let (id, digest) = (asked.id, asked.digest);
            let answer = v1::AnswerQuestion { id, digest, answers, ..v1::AnswerQuestion::default() };
            (approval.session, Request::AnswerQuestion(answer))
        }
        AgentVerb::Cancel { session, prompt } => {
            (session.to_string(), Request::CancelPrompt(v1::CancelPrompt { id: prompt }))
        }
        AgentVerb::Interrupt { session } => (session.to_string(), Request::Interrupt(v1::Interrupt {})),
        AgentVerb::Eof { session } => (session.to_string(), Request::CloseInput(v1::CloseInput {})),
        AgentVerb::Mode { session, mode } => (session.to_string(), Request::SetMode(v1::SetAgentMode { mode })),
        AgentVerb::Model { session, model } => (session.to_string(), Request::SetModel(v1::SetModel { model })),
        AgentVerb::Revoke { session, rule } => (session.to_string(), Request::RevokeRule(v1::RevokeRule { id: rule })),
    };
    tell(&mut connection, &dialler, session, request).await.map(|()| 0)
}

async fn tell(
    connection: &mut Connection,
    dialler: &Dialler,
    session: String,
    request: Request,
) -> Result<(), ClientError> {
    let ask = Ask::Agent(v1::AgentRequest { session, request: Some(request) });
    match connection.ask(dialler, ask).await? {
        Body::Prompt(_) | Body::Done(_) => Ok(()),
        _ => Err(strange(dialler).into()),
    }
}

async fn approvals(connection: &mut Connection, dialler: &Dialler) -> Result<v1::Approvals, ClientError> {
    match connection.ask(dialler, Ask::Approvals(v1::ListApprovals {})).await? {
        Body::Approvals(list) => Ok(list),
        _ => Err(strange(dialler).into()),
    }
}

async fn find(request: &str, connection: &mut Connection, dialler: &Dialler) -> Result<Approval, ClientError> {
    let all = approvals(connection, dialler).await?;
    find_request(&all.approvals, &all.closed, request).map_err(|why| refused(why.to_string()))
}

async fn decide(
    verb: DecideVerb,
    connection: &mut Connection,
    dialler: &Dialler,
) -> Result<(String, Request), ClientError> {
    let approval = find(&verb.request, connection, dialler).await?;
    let question = || refused(format!("{} is a question: answer {0} …", verb.request));
    let asked = approval.permission.ok_or_else(question)?;
    let option = choose(&asked, verb.allow, verb.always).map_err(refused)?;
    let (id, digest, reason) = (asked.id, asked.digest, verb.reason);
    Ok((approval.session, Request::AnswerPermission(v1::AnswerPermission { id, digest, option, reason })))
}

fn refused(why: String) -> ClientError {
    ConnectError::Refused(why).into()
}

async fn prompt(verb: PromptVerb, mut connection: Connection, dialler: Dialler) -> Result<u8, ClientError> {
    let mut was_known = verb.id.is_some();
    let id = verb.id.unwrap_or_else(|| SessionId::from_bytes(crate::gateway::random()).to_string());
    let request = Request::Prompt(v1::Prompt { id: id.clone(), text: verb.text });
    let session = verb.session.to_string();
    if !verb.wait {
        tell(&mut connection, &dialler, session, request).await?;
        return print(&id).map(|()| 0);
    }
    let mut feed = Feed::new(session.clone(), false, dialler);
    // Looked at first: nothing of the answer is missed.
    let attached = feed.attach(&mut connection, From::Live).await?;
    let (log, state) = (attached.log_id, attached.agent.and_then(|agent| agent.state).unwrap_or_default());
    let ask = Ask::Agent(v1::AgentRequest { session, request: Some(request) });
    let mut asked = say(&mut connection, &ask).await;
    let mut watch = TurnWatch::new(&id);
    take_steps(watch.notice(&state).into_iter().collect(), verb.json)?;
    loop {
        let heard = feed.hear(&mut connection).await?;
        let wants = |event: &v1::AgentEvent| !verb.json && watch.wants_whole(event);
        match feed.completed(heard, wants, &mut connection).await? {
            Heard::Fed(fed) => {
                if let Some(status) = follow(fed, &mut watch, verb.json)? {
                    return Ok(status);
                }
            }
            Heard::Answer(id, Some(error)) if id == asked => return Err(ConnectError::Answer(error).into()),
            Heard::Answer(id, None) if id == asked && std::mem::take(&mut was_known) => {
                let known = feed.prompted.take().unwrap_or_default();
                if let Some(status) = take_steps(watch.known(&known), verb.json)? {
                    return Ok(status);
                }
            }
            Heard::Answer(..) | Heard::Piece(..) => {}
            Heard::Broken(error) => {
                // From here on its events come again, to their end.
                was_known = false;
                let attached = feed.come_back(&mut connection, error).await?;
                if attached.log_id != log {
                    eprintln!("portcullis: the session was restarted; nobody knows what became of the prompt");
                    return Ok(FAILED);
                }
                match attached.lost_to.saturating_sub(attached.lost_from) {
                    0 => {}
                    lost => eprintln!("portcullis: {lost} events are gone"),
                }
                // It may have been lost on its way; the same id in the same log is the same prompt.
                asked = say(&mut connection, &ask).await;
            }
        }
    }
}

async fn say(connection: &mut Connection, ask: &Ask) -> u64 {
    let id = connection.take_id();
    // A connection that breaks here is heard to be broken next.
    let _ = send(&mut connection.socket, id, ask.clone()).await;
    id
}

/// Prints what came; the status when nothing more comes.
fn follow(fed: Fed, watch: &mut TurnWatch, json: bool) -> Result<Option<u8>, ClientError> {
    let (number, event) = match fed {
        Fed::Event(number, event) => (number, event),
        Fed::Lost(count) => {
            eprintln!("portcullis: {count} events are gone");
            return Ok(None);
        }
        Fed::Ended(_) => {
            eprintln!("portcullis: the agent has ended; `restart` starts it again");
            return Ok(Some(FAILED));
        }
        Fed::Over(why) => return Ok(Some(over(&why))),
    };
    let steps = watch.take(&event);
    if json && (watch.concerns(&event) || !steps.is_empty()) {
        print(&event_line(number, *event))?;
    }
    take_steps(steps, json)
}

fn take_steps(steps: Vec<Step>, json: bool) -> Result<Option<u8>, ClientError> {
    for step in steps {
        match step {
            Step::Text(text) if !json => print_as_it_is(&text)?,
            Step::Note(note) if !json => eprintln!("portcullis: {note}"),
            Step::Text(_) | Step::Note(_) => {}
            Step::Over(Outcome::Incomplete) if !json => return Ok(Some(LOST)),
            Step::Over(Outcome::Finished | Outcome::Incomplete) => return Ok(Some(0)),
            Step::Over(Outcome::Failed(why)) => {
                eprintln!("portcullis: {why}");
                return Ok(Some(FAILED));
            }
        }
    }
    Ok(None)
}

async fn events(verb: &EventsVerb, mut connection: Connection, dialler: Dialler) -> Result<u8, ClientError> {
    let mut feed = Feed::new(verb.session.to_string(), verb.raw, dialler);
    let attached = feed.attach(&mut connection, verb.from).await?;
    if let (v1::Verdict::Reset, From::Offset(number)) = (attached.verdict(), verb.from) {
        return Err(refused(format!("event {number} is beyond what this session has said; leave out --from")));
    }
    let mut status = 0;
    let mut lost = attached.lost_to.saturating_sub(attached.lost_from);
    loop {
        if lost > 0 {
            eprintln!("portcullis: {lost} events are gone");
            status = if verb.from == From::Start && status == 0 { 0 } else { LOST };
        }
        lost = 0;
        match feed.next(&mut connection, None).await? {
            Fed::Event(number, event) => print(&event_line(number, *event))?,
            Fed::Lost(count) => lost = count,
            Fed::Ended(_) => return Ok(status),
            Fed::Over(why) => return Ok(over(&why)),
        }
    }
}

fn over(why: &str) -> u8 {
    eprintln!("portcullis: detached: {why}");
    AGAIN
}
