// Reads a KafkaBroker in hex from standard input and prints it as proto-JSON, by Envoy's own Go types.
// Fails on what Envoy would refuse.
package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	kafka "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/network/kafka_broker/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

func main() {
	log.SetFlags(0)
	text, err := io.ReadAll(os.Stdin)
	check(err)
	body, err := hex.DecodeString(strings.TrimSpace(string(text)))
	check(err)
	var broker kafka.KafkaBroker
	check(proto.UnmarshalOptions{DiscardUnknown: false}.Unmarshal(body, &broker))
	if unknown := broker.ProtoReflect().GetUnknown(); len(unknown) > 0 {
		log.Fatalf("unknown fields: %x", unknown)
	}
	check(broker.ValidateAll())
	found, err := protojson.Marshal(&broker)
	check(err)
	fmt.Println(string(found))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
