package app

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// AWSConfig says where AWS is and who we are there. What is empty comes from the
// SDK's own sources: environment, shared files, instance or task role.
type AWSConfig struct {
	Region   string `koanf:"region" json:"region"`
	Endpoint string `koanf:"endpoint" json:"endpoint"` // one URL for all services; as AWS_ENDPOINT_URL
	Profile  string `koanf:"profile" json:"profile"`
	RoleARN  string `koanf:"role_arn" json:"role_arn"` // to assume
}

// Load resolves the configuration. It reads files and the environment; it makes no
// request.
func (c AWSConfig) Load(ctx context.Context) (aws.Config, error) {
	var opts []func(*awsconfig.LoadOptions) error
	if c.Region != "" {
		opts = append(opts, awsconfig.WithRegion(c.Region))
	}
	if c.Profile != "" {
		opts = append(opts, awsconfig.WithSharedConfigProfile(c.Profile))
	}
	if c.Endpoint != "" {
		opts = append(opts, awsconfig.WithBaseEndpoint(c.Endpoint))
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return aws.Config{}, Fault{fmt.Errorf("load AWS configuration: %w", err)}
	}
	if cfg.Region == "" {
		return aws.Config{}, Faultf("no AWS region: set aws.region, AWS_REGION or a profile with a region")
	}
	if c.RoleARN != "" {
		cfg.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), c.RoleARN))
	}
	return withTransport(cfg), nil
}

// NewKinesis, NewDynamoDB and NewS3 make the clients. An endpoint that is not
// AWS's own has no host name per bucket.
func NewKinesis(cfg aws.Config) *kinesis.Client { return kinesis.NewFromConfig(cfg) }

// NewDynamoDB makes the DynamoDB client.
func NewDynamoDB(cfg aws.Config) *dynamodb.Client { return dynamodb.NewFromConfig(cfg) }

// NewCloudWatchLogs makes the CloudWatch Logs client.
func NewCloudWatchLogs(cfg aws.Config) *cloudwatchlogs.Client {
	return cloudwatchlogs.NewFromConfig(cfg)
}

// NewS3 makes the S3 client.
func NewS3(cfg aws.Config) *s3.Client {
	return s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = cfg.BaseEndpoint != nil })
}
