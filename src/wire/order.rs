//! Spawner orders and answers as datagrams; does not know which are permitted.

use prost::Message;

use super::v1::{Answer, Order};
use crate::base::ORDER_DATAGRAM;

/// The only version so far.
pub const ORDER_VERSION: u32 = 1;

/// A datagram that is no order, or one too large to send.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// Above the limit.
    #[error("an order of {0} bytes; the limit is 65536")]
    TooLong(usize),
    /// Not decodable.
    #[error("an order that does not decode: {0}")]
    Decode(#[from] prost::DecodeError),
}

/// For sending to the spawner.
pub fn encode_order(order: &Order) -> Result<Vec<u8>, OrderError> {
    encode(order)
}

/// For sending to the gateway.
pub fn encode_answer(answer: &Answer) -> Result<Vec<u8>, OrderError> {
    encode(answer)
}

/// From a datagram of the gateway.
pub fn decode_order(datagram: &[u8]) -> Result<Order, OrderError> {
    decode(datagram)
}

/// From a datagram of the spawner.
pub fn decode_answer(datagram: &[u8]) -> Result<Answer, OrderError> {
    decode(datagram)
}

fn encode(message: &impl Message) -> Result<Vec<u8>, OrderError> {
    let bytes = message.encode_to_vec();
    if bytes.len() > ORDER_DATAGRAM { Err(OrderError::TooLong(bytes.len())) } else { Ok(bytes) }
}

fn decode<M: Message + Default>(datagram: &[u8]) -> Result<M, OrderError> {
    if datagram.len() > ORDER_DATAGRAM {
        return Err(OrderError::TooLong(datagram.len()));
    }
    Ok(M::decode(datagram)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::v1::{ListHosts, order::Body};

    #[test]
    fn an_order_comes_back_and_a_large_one_is_refused() {
        let order = Order { number: 7, body: Some(Body::List(ListHosts {})) };
        assert_eq!(decode_order(&encode_order(&order).unwrap()).unwrap(), order);
        let start = crate::wire::v1::Start { name: "x".repeat(ORDER_DATAGRAM), ..Default::default() };
        let order = Order { number: 8, body: Some(Body::Start(start)) };
        assert!(matches!(encode_order(&order), Err(OrderError::TooLong(_))));
        assert!(decode_order(&[0xff; 9]).is_err());
    }
}
