//! The cluster's feature level: the leader's report of each server's level, and raising the level.

use futures::future::BoxFuture;
use ordu_proto::server::server_client::ServerClient;
use ordu_proto::server::{FeatureLevelsRequest, RaiseFeatureLevelRequest};
use tonic::transport::Channel;

use super::operator::of_leader;
use crate::http::answer::Answer;
use crate::http::dispatch::Call;
use crate::http::documents::feature_level::{FeatureLevels, RaisedLevel};
use crate::http::error::HttpError;
use crate::membership::levels as feature_levels;

/// `GET /v1/operator/ordu/feature-level`.
pub(crate) fn levels(call: Call) -> BoxFuture<'static, Result<Answer, HttpError>> {
    Box::pin(async move {
        let context = &call.api.context;
        let here = async { Ok(feature_levels::told(context)) };
        let request = FeatureLevelsRequest { cluster_id: context.identity.get() };
        let there = async |mut leader: ServerClient<Channel>| {
            leader.feature_levels(request).await.map(|reply| reply.into_inner())
        };
        let told = of_leader(context, here, there).await?;
        Ok(Answer::local(&call.request, &FeatureLevels::of(told)))
    })
}

/// `PUT /v1/operator/ordu/feature-level/raise`.
pub(crate) fn raise(call: Call) -> BoxFuture<'static, Result<Answer, HttpError>> {
    Box::pin(async move {
        let context = &call.api.context;
        let request = RaiseFeatureLevelRequest { cluster_id: context.identity.get() };
        let there = async |mut leader: ServerClient<Channel>| {
            leader.raise_feature_level(request).await.map(|reply| reply.into_inner().level)
        };
        let level = of_leader(context, feature_levels::raise(context), there).await?;
        Ok(Answer::local(&call.request, &RaisedLevel { level }))
    })
}
