use std::sync::Mutex;

use mock_server::{MockServer, Reply as Answer};

use super::*;
use crate::tests::{self, hello, serve, text};
use crate::{EndpointConfig, EndpointModel, Failure, Model, Reply};

/// A host whose servers are started by the test.
#[derive(Debug, Default)]
struct Kept {
    address: Mutex<Option<Arc<Address>>>,
    is_dead: Mutex<bool>,
}

impl Kept {
    fn at(&self, server: &MockServer, key: &str) {
        let address = Address { base_url: server.url(), key: ApiKey::new(key) };
        *self.address.lock().unwrap() = Some(Arc::new(address));
        *self.is_dead.lock().unwrap() = false;
    }
}

fn failure(message: &str) -> HostFailure {
    HostFailure { message: message.to_owned(), hint: "Start another.".to_owned() }
}

impl Host for Kept {
    fn address(&self) -> Saying<'_, Result<Arc<Address>, HostFailure>> {
        Box::pin(async {
            let address = self.address.lock().unwrap().clone();
            address.ok_or_else(|| failure("There is no server."))
        })
    }

    fn fate(&self) -> Saying<'_, Option<HostFailure>> {
        Box::pin(async { self.is_dead.lock().unwrap().then(|| failure("The server has died.")) })
    }
}

fn model(kept: &Arc<Kept>) -> Model {
    let mut config = EndpointConfig::new("", "local:one");
    config.host = Some(Arc::<Kept>::clone(kept));
    EndpointModel::new(config).unwrap().into()
}

async fn ask(model: &Model) -> Result<Reply, Failure> {
    tests::ask(model, &hello(model)).await.0
}

#[tokio::test]
async fn requests_go_where_the_host_says_each_time_with_the_key_of_that_server() {
    let kept = Arc::new(Kept::default());
    let model = model(&kept);
    // Nothing of an address that passes is on record.
    assert_eq!(model.description().endpoint, None);
    for (key, answer) in [("first-key", "One."), ("second-key", "Two.")] {
        let server = serve([Answer::text(answer)]);
        kept.at(&server, key);
        assert_eq!(ask(&model).await.unwrap().parts, [text(answer)]);
        let request = server.requests().pop().unwrap();
        assert_eq!(request.header("authorization"), Some(format!("Bearer {key}").as_str()));
    }
}

#[tokio::test]
async fn a_key_that_the_server_sends_back_is_not_kept() {
    let kept = Arc::new(Kept::default());
    let server = serve([Answer::status(401, &[], r#"{"error":{"message":"not s3cret-key"}}"#)]);
    kept.at(&server, "s3cret-key");
    let failure = ask(&model(&kept)).await.unwrap_err();
    let raw = String::from_utf8_lossy(&failure.partial.raw).into_owned();
    assert!(!failure.to_string().contains("s3cret") && !raw.contains("s3cret"), "{failure} {raw}");
}

#[tokio::test]
async fn a_server_that_died_is_why_an_exchange_broke_and_one_that_lives_is_not() {
    let kept = Arc::new(Kept::default());
    let model = model(&kept);
    let failure = ask(&model).await.unwrap_err();
    assert_eq!(failure.to_string(), "There is no server. Start another.");
    assert!(!failure.kind.is_worth_retrying());
    let gone = serve([]);
    kept.at(&gone, "key");
    drop(gone);
    let failure = ask(&model).await.unwrap_err();
    assert!(failure.message.contains("refused"), "{failure}");
    *kept.is_dead.lock().unwrap() = true;
    let failure = ask(&model).await.unwrap_err();
    assert_eq!(
        (failure.kind, failure.message.as_str()),
        (FailureKind::Unreachable, "The server has died.")
    );
}
