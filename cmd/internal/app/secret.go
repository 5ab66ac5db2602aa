package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"tributary/sinks/treasuredata"
)

// key is nil where the configuration holds the key or names its file.
func (t *TreasureDataSettings) key(cfg aws.Config) treasuredata.Key {
	if t.APIKeySecret == "" {
		return nil
	}
	id, member, _ := strings.Cut(t.APIKeySecret, "#")
	client := secretsmanager.NewFromConfig(cfg)
	return func(ctx context.Context) (string, error) {
		out, err := client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &id})
		if err != nil {
			return "", fmt.Errorf("get secret %s: %w", id, err)
		}
		if out.SecretString == nil {
			return "", fmt.Errorf("get secret %s: %w", id, errors.New("it holds bytes, not text"))
		}
		if member == "" {
			return *out.SecretString, nil
		}
		// The text itself is in no error.
		var members map[string]any
		if json.Unmarshal([]byte(*out.SecretString), &members) != nil {
			return "", fmt.Errorf("get secret %s: %w", id, errors.New("it is no JSON object"))
		}
		text, ok := members[member].(string)
		if !ok {
			return "", fmt.Errorf("get secret %s: it has no text %q", id, member)
		}
		return text, nil
	}
}
