//! Kafka's error codes: number, name, and whether a client may retry.

use std::fmt;

use crate::codec::{DecodeError, Field, Reader, Shape, Writer};

macro_rules! error_codes {
    ($( $variant:ident = $code:literal, $retry:ident, $name:literal; )*) => {
        /// A Kafka error code. A code that this build does not know is read as
        /// [`ErrorCode::UnknownServerError`], as Kafka's own clients do.
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(i16)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $(
                #[doc = concat!("`", $name, "` (", $code, ")")]
                $variant = $code,
            )*
        }

        impl ErrorCode {
            /// Every code that this build knows, ascending.
            pub const ALL: &'static [ErrorCode] = &[$( ErrorCode::$variant, )*];

            /// Kafka's name of the code, for example `NOT_LEADER_OR_FOLLOWER`.
            pub const fn name(self) -> &'static str {
                match self {
                    $( ErrorCode::$variant => $name, )*
                }
            }

            /// Whether a client may send the same request again and hope.
            pub const fn is_retriable(self) -> bool {
                matches!(match self { $( ErrorCode::$variant => Retry::$retry, )* }, Retry::Retriable)
            }

            const fn from_known(code: i16) -> Option<ErrorCode> {
                match code {
                    $( $code => Some(ErrorCode::$variant), )*
                    _ => None,
                }
            }
        }
    };
}

enum Retry {
    Retriable,
    Final,
}

error_codes! {
    UnknownServerError = -1, Final, "UNKNOWN_SERVER_ERROR";
    None = 0, Final, "NONE";
    OffsetOutOfRange = 1, Final, "OFFSET_OUT_OF_RANGE";
    CorruptMessage = 2, Retriable, "CORRUPT_MESSAGE";
    UnknownTopicOrPartition = 3, Retriable, "UNKNOWN_TOPIC_OR_PARTITION";
    InvalidFetchSize = 4, Final, "INVALID_FETCH_SIZE";
    LeaderNotAvailable = 5, Retriable, "LEADER_NOT_AVAILABLE";
    NotLeaderOrFollower = 6, Retriable, "NOT_LEADER_OR_FOLLOWER";
    RequestTimedOut = 7, Retriable, "REQUEST_TIMED_OUT";
    BrokerNotAvailable = 8, Final, "BROKER_NOT_AVAILABLE";
    ReplicaNotAvailable = 9, Retriable, "REPLICA_NOT_AVAILABLE";
    MessageTooLarge = 10, Final, "MESSAGE_TOO_LARGE";
    StaleControllerEpoch = 11, Final, "STALE_CONTROLLER_EPOCH";
    OffsetMetadataTooLarge = 12, Final, "OFFSET_METADATA_TOO_LARGE";
    NetworkException = 13, Retriable, "NETWORK_EXCEPTION";
    CoordinatorLoadInProgress = 14, Retriable, "COORDINATOR_LOAD_IN_PROGRESS";
    CoordinatorNotAvailable = 15, Retriable, "COORDINATOR_NOT_AVAILABLE";
    NotCoordinator = 16, Retriable, "NOT_COORDINATOR";
    InvalidTopicException = 17, Final, "INVALID_TOPIC_EXCEPTION";
    RecordListTooLarge = 18, Final, "RECORD_LIST_TOO_LARGE";
    NotEnoughReplicas = 19, Retriable, "NOT_ENOUGH_REPLICAS";
    NotEnoughReplicasAfterAppend = 20, Retriable, "NOT_ENOUGH_REPLICAS_AFTER_APPEND";
    InvalidRequiredAcks = 21, Final, "INVALID_REQUIRED_ACKS";
    IllegalGeneration = 22, Final, "ILLEGAL_GENERATION";
    InconsistentGroupProtocol = 23, Final, "INCONSISTENT_GROUP_PROTOCOL";
    InvalidGroupId = 24, Final, "INVALID_GROUP_ID";
    UnknownMemberId = 25, Final, "UNKNOWN_MEMBER_ID";
    InvalidSessionTimeout = 26, Final, "INVALID_SESSION_TIMEOUT";
    RebalanceInProgress = 27, Final, "REBALANCE_IN_PROGRESS";
    InvalidCommitOffsetSize = 28, Final, "INVALID_COMMIT_OFFSET_SIZE";
    TopicAuthorizationFailed = 29, Final, "TOPIC_AUTHORIZATION_FAILED";
    GroupAuthorizationFailed = 30, Final, "GROUP_AUTHORIZATION_FAILED";
    ClusterAuthorizationFailed = 31, Final, "CLUSTER_AUTHORIZATION_FAILED";
    InvalidTimestamp = 32, Final, "INVALID_TIMESTAMP";
    UnsupportedSaslMechanism = 33, Final, "UNSUPPORTED_SASL_MECHANISM";
    IllegalSaslState = 34, Final, "ILLEGAL_SASL_STATE";
    UnsupportedVersion = 35, Final, "UNSUPPORTED_VERSION";
    TopicAlreadyExists = 36, Final, "TOPIC_ALREADY_EXISTS";
    InvalidPartitions = 37, Final, "INVALID_PARTITIONS";
    InvalidReplicationFactor = 38, Final, "INVALID_REPLICATION_FACTOR";
    InvalidReplicaAssignment = 39, Final, "INVALID_REPLICA_ASSIGNMENT";
    InvalidConfig = 40, Final, "INVALID_CONFIG";
    NotController = 41, Retriable, "NOT_CONTROLLER";
    InvalidRequest = 42, Final, "INVALID_REQUEST";
    UnsupportedForMessageFormat = 43, Final, "UNSUPPORTED_FOR_MESSAGE_FORMAT";
    PolicyViolation = 44, Final, "POLICY_VIOLATION";
    OutOfOrderSequenceNumber = 45, Final, "OUT_OF_ORDER_SEQUENCE_NUMBER";
    DuplicateSequenceNumber = 46, Final, "DUPLICATE_SEQUENCE_NUMBER";
    InvalidProducerEpoch = 47, Final, "INVALID_PRODUCER_EPOCH";
    InvalidTxnState = 48, Final, "INVALID_TXN_STATE";
    InvalidProducerIdMapping = 49, Final, "INVALID_PRODUCER_ID_MAPPING";
    InvalidTransactionTimeout = 50, Final, "INVALID_TRANSACTION_TIMEOUT";
    ConcurrentTransactions = 51, Final, "CONCURRENT_TRANSACTIONS";
    TransactionCoordinatorFenced = 52, Final, "TRANSACTION_COORDINATOR_FENCED";
    TransactionalIdAuthorizationFailed = 53, Final, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED";
    SecurityDisabled = 54, Final, "SECURITY_DISABLED";
    OperationNotAttempted = 55, Final, "OPERATION_NOT_ATTEMPTED";
    KafkaStorageError = 56, Retriable, "KAFKA_STORAGE_ERROR";
    LogDirNotFound = 57, Final, "LOG_DIR_NOT_FOUND";
    SaslAuthenticationFailed = 58, Final, "SASL_AUTHENTICATION_FAILED";
    UnknownProducerId = 59, Final, "UNKNOWN_PRODUCER_ID";
    ReassignmentInProgress = 60, Final, "REASSIGNMENT_IN_PROGRESS";
    DelegationTokenAuthDisabled = 61, Final, "DELEGATION_TOKEN_AUTH_DISABLED";
    DelegationTokenNotFound = 62, Final, "DELEGATION_TOKEN_NOT_FOUND";
    DelegationTokenOwnerMismatch = 63, Final, "DELEGATION_TOKEN_OWNER_MISMATCH";
    DelegationTokenRequestNotAllowed = 64, Final, "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED";
    DelegationTokenAuthorizationFailed = 65, Final, "DELEGATION_TOKEN_AUTHORIZATION_FAILED";
    DelegationTokenExpired = 66, Final, "DELEGATION_TOKEN_EXPIRED";
    InvalidPrincipalType = 67, Final, "INVALID_PRINCIPAL_TYPE";
    NonEmptyGroup = 68, Final, "NON_EMPTY_GROUP";
    GroupIdNotFound = 69, Final, "GROUP_ID_NOT_FOUND";
    FetchSessionIdNotFound = 70, Retriable, "FETCH_SESSION_ID_NOT_FOUND";
    InvalidFetchSessionEpoch = 71, Retriable, "INVALID_FETCH_SESSION_EPOCH";
    ListenerNotFound = 72, Retriable, "LISTENER_NOT_FOUND";
    TopicDeletionDisabled = 73, Final, "TOPIC_DELETION_DISABLED";
    FencedLeaderEpoch = 74, Retriable, "FENCED_LEADER_EPOCH";
    UnknownLeaderEpoch = 75, Retriable, "UNKNOWN_LEADER_EPOCH";
    UnsupportedCompressionType = 76, Final, "UNSUPPORTED_COMPRESSION_TYPE";
    StaleBrokerEpoch = 77, Final, "STALE_BROKER_EPOCH";
    OffsetNotAvailable = 78, Retriable, "OFFSET_NOT_AVAILABLE";
    MemberIdRequired = 79, Final, "MEMBER_ID_REQUIRED";
    PreferredLeaderNotAvailable = 80, Retriable, "PREFERRED_LEADER_NOT_AVAILABLE";
    GroupMaxSizeReached = 81, Final, "GROUP_MAX_SIZE_REACHED";
    FencedInstanceId = 82, Final, "FENCED_INSTANCE_ID";
    EligibleLeadersNotAvailable = 83, Retriable, "ELIGIBLE_LEADERS_NOT_AVAILABLE";
    ElectionNotNeeded = 84, Retriable, "ELECTION_NOT_NEEDED";
    NoReassignmentInProgress = 85, Final, "NO_REASSIGNMENT_IN_PROGRESS";
    GroupSubscribedToTopic = 86, Final, "GROUP_SUBSCRIBED_TO_TOPIC";
    InvalidRecord = 87, Final, "INVALID_RECORD";
    UnstableOffsetCommit = 88, Retriable, "UNSTABLE_OFFSET_COMMIT";
    ThrottlingQuotaExceeded = 89, Retriable, "THROTTLING_QUOTA_EXCEEDED";
    ProducerFenced = 90, Final, "PRODUCER_FENCED";
    ResourceNotFound = 91, Final, "RESOURCE_NOT_FOUND";
    DuplicateResource = 92, Final, "DUPLICATE_RESOURCE";
    UnacceptableCredential = 93, Final, "UNACCEPTABLE_CREDENTIAL";
    InconsistentVoterSet = 94, Final, "INCONSISTENT_VOTER_SET";
    InvalidUpdateVersion = 95, Final, "INVALID_UPDATE_VERSION";
    FeatureUpdateFailed = 96, Final, "FEATURE_UPDATE_FAILED";
    PrincipalDeserializationFailure = 97, Final, "PRINCIPAL_DESERIALIZATION_FAILURE";
    SnapshotNotFound = 98, Final, "SNAPSHOT_NOT_FOUND";
    PositionOutOfRange = 99, Final, "POSITION_OUT_OF_RANGE";
    UnknownTopicId = 100, Retriable, "UNKNOWN_TOPIC_ID";
    DuplicateBrokerRegistration = 101, Final, "DUPLICATE_BROKER_REGISTRATION";
    BrokerIdNotRegistered = 102, Final, "BROKER_ID_NOT_REGISTERED";
    InconsistentTopicId = 103, Retriable, "INCONSISTENT_TOPIC_ID";
    InconsistentClusterId = 104, Final, "INCONSISTENT_CLUSTER_ID";
    TransactionalIdNotFound = 105, Final, "TRANSACTIONAL_ID_NOT_FOUND";
    FetchSessionTopicIdError = 106, Retriable, "FETCH_SESSION_TOPIC_ID_ERROR";
    IneligibleReplica = 107, Final, "INELIGIBLE_REPLICA";
    NewLeaderElected = 108, Final, "NEW_LEADER_ELECTED";
    OffsetMovedToTieredStorage = 109, Final, "OFFSET_MOVED_TO_TIERED_STORAGE";
    FencedMemberEpoch = 110, Final, "FENCED_MEMBER_EPOCH";
    UnreleasedInstanceId = 111, Final, "UNRELEASED_INSTANCE_ID";
    UnsupportedAssignor = 112, Final, "UNSUPPORTED_ASSIGNOR";
    StaleMemberEpoch = 113, Final, "STALE_MEMBER_EPOCH";
    MismatchedEndpointType = 114, Final, "MISMATCHED_ENDPOINT_TYPE";
    UnsupportedEndpointType = 115, Final, "UNSUPPORTED_ENDPOINT_TYPE";
    UnknownControllerId = 116, Final, "UNKNOWN_CONTROLLER_ID";
    UnknownSubscriptionId = 117, Final, "UNKNOWN_SUBSCRIPTION_ID";
    TelemetryTooLarge = 118, Final, "TELEMETRY_TOO_LARGE";
    InvalidRegistration = 119, Final, "INVALID_REGISTRATION";
    TransactionAbortable = 120, Final, "TRANSACTION_ABORTABLE";
    InvalidRecordState = 121, Final, "INVALID_RECORD_STATE";
    ShareSessionNotFound = 122, Retriable, "SHARE_SESSION_NOT_FOUND";
    InvalidShareSessionEpoch = 123, Retriable, "INVALID_SHARE_SESSION_EPOCH";
    FencedStateEpoch = 124, Final, "FENCED_STATE_EPOCH";
    InvalidVoterKey = 125, Final, "INVALID_VOTER_KEY";
    DuplicateVoter = 126, Final, "DUPLICATE_VOTER";
    VoterNotFound = 127, Final, "VOTER_NOT_FOUND";
    InvalidRegularExpression = 128, Final, "INVALID_REGULAR_EXPRESSION";
    RebootstrapRequired = 129, Final, "REBOOTSTRAP_REQUIRED";
    StreamsInvalidTopology = 130, Final, "STREAMS_INVALID_TOPOLOGY";
    StreamsInvalidTopologyEpoch = 131, Final, "STREAMS_INVALID_TOPOLOGY_EPOCH";
    StreamsTopologyFenced = 132, Final, "STREAMS_TOPOLOGY_FENCED";
    ShareSessionLimitReached = 133, Retriable, "SHARE_SESSION_LIMIT_REACHED";
}

impl ErrorCode {
    /// The number on the wire.
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// The code of that number; an unknown number is [`ErrorCode::UnknownServerError`].
    pub const fn from_code(code: i16) -> ErrorCode {
        match ErrorCode::from_known(code) {
            Some(known) => known,
            None => ErrorCode::UnknownServerError,
        }
    }

    /// Whether this is an error at all.
    pub const fn is_err(self) -> bool {
        self.code() != 0
    }
}

#[expect(clippy::derivable_impls, reason = "the variants come from a table")]
impl Default for ErrorCode {
    fn default() -> Self {
        ErrorCode::None
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name(), self.code())
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl<'a> Field<'a> for ErrorCode {
    fn size_min(_: Shape) -> usize {
        2
    }
    fn read(r: &mut Reader<'a>, _: Shape) -> Result<Self, DecodeError> {
        Ok(ErrorCode::from_code(r.i16()?))
    }
    fn write(&self, w: &mut Writer, _: Shape) {
        w.i16(self.code());
    }
}
