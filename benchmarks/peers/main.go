// A server of go-control-plane for benchmarks.xds, which starts and commands it: what it serves is
// in a file of JSON lines, what changes comes as JSON lines on standard input.
//
//	peers -cache snapshot|linear -world FILE [-scopes N]
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/anypb"

	_ "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
)

const longestLine = 1 << 24

// Line is a resource as benchmarks/xds/world.py writes it.
type Line struct {
	Type string `json:"type"`
	Name string `json:"name"`
	Body []byte `json:"body"`
}

func (line Line) resource() types.Resource {
	message, err := (&anypb.Any{TypeUrl: line.Type, Value: line.Body}).UnmarshalNew()
	check(err)
	return message
}

// Publisher is one of the two caches, for all scopes. A node belongs to the scope of its cluster.
type Publisher interface {
	cache.Cache
	load(lines []Line)
	publish(line Line)
}

// Snapshots keeps all resources of a scope in one snapshot, which is replaced by every change.
type Snapshots struct {
	cache.SnapshotCache
	scopes    []string
	resources map[string]map[string]types.Resource
	versions  map[string]int
}

type byCluster struct{}

func (byCluster) ID(node *core.Node) string { return node.GetCluster() }

func newSnapshots(scopes []string) *Snapshots {
	return &Snapshots{
		cache.NewSnapshotCache(true, byCluster{}, nil), scopes,
		map[string]map[string]types.Resource{}, map[string]int{},
	}
}

func (s *Snapshots) load(lines []Line) {
	for _, line := range lines {
		s.put(line)
	}
	s.set()
}

func (s *Snapshots) publish(line Line) {
	s.put(line)
	s.set()
}

func (s *Snapshots) put(line Line) {
	if s.resources[line.Type] == nil {
		s.resources[line.Type] = map[string]types.Resource{}
	}
	s.resources[line.Type][line.Name] = line.resource()
	s.versions[line.Type]++
}

// set gives every scope a snapshot whose types have versions of their own, so that a change of one
// type sends nothing of the others.
func (s *Snapshots) set() {
	snapshot := &cache.Snapshot{}
	for url, byName := range s.resources {
		kind := cache.GetResponseType(url)
		items := make([]types.Resource, 0, len(byName))
		for _, resource := range byName {
			items = append(items, resource)
		}
		snapshot.Resources[kind] = cache.NewResources(fmt.Sprint(s.versions[url]), items)
	}
	for _, scope := range s.scopes {
		own := &cache.Snapshot{Resources: snapshot.Resources}
		check(s.SetSnapshot(context.Background(), scope, own))
	}
}

// Linears keeps the resources of a type of a scope in a cache of their own.
type Linears struct {
	cache.MuxCache
	scopes []string
}

func newLinears(scopes []string) *Linears {
	key := func(node *core.Node, url string) string { return node.GetCluster() + " " + url }
	return &Linears{cache.MuxCache{
		Classify: func(request *cache.Request) string {
			return key(request.GetNode(), request.GetTypeUrl())
		},
		ClassifyDelta: func(request *cache.DeltaRequest) string {
			return key(request.GetNode(), request.GetTypeUrl())
		},
		Caches: map[string]cache.Cache{},
	}, scopes}
}

func (l *Linears) load(lines []Line) {
	byType := map[string]map[string]types.Resource{}
	for _, line := range lines {
		if byType[line.Type] == nil {
			byType[line.Type] = map[string]types.Resource{}
		}
		byType[line.Type][line.Name] = line.resource()
	}
	for url, resources := range byType {
		for _, scope := range l.scopes {
			l.Caches[scope+" "+url] = cache.NewLinearCache(url, cache.WithInitialResources(resources))
		}
	}
}

func (l *Linears) publish(line Line) {
	resource := line.resource()
	for _, scope := range l.scopes {
		linear := l.Caches[scope+" "+line.Type].(*cache.LinearCache)
		check(linear.UpdateResource(line.Name, resource))
	}
}

func main() {
	kind := flag.String("cache", "snapshot", "snapshot or linear")
	world := flag.String("world", "", "a file of resources")
	count := flag.Int("scopes", 1, "how many different kinds of nodes")
	flag.Parse()
	scopes := make([]string, *count)
	for number := range scopes {
		scopes[number] = fmt.Sprintf("scope-%d", number)
	}
	var publisher Publisher = newLinears(scopes)
	if *kind == "snapshot" {
		publisher = newSnapshots(scopes)
	}
	publisher.load(read(*world))
	fmt.Printf("{\"port\": %d}\n", serve(publisher))
	obey(publisher)
}

func read(path string) []Line {
	text, err := os.ReadFile(path)
	check(err)
	var lines []Line
	for _, text := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		var line Line
		check(json.Unmarshal([]byte(text), &line))
		lines = append(lines, line)
	}
	return lines
}

func serve(served cache.Cache) int {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	transport := grpc.NewServer()
	discovery.RegisterAggregatedDiscoveryServiceServer(
		transport, server.NewServer(context.Background(), served, nil))
	go func() { check(transport.Serve(listener)) }()
	return listener.Addr().(*net.TCPAddr).Port
}

func obey(publisher Publisher) {
	commands := bufio.NewScanner(os.Stdin)
	commands.Buffer(nil, longestLine)
	for commands.Scan() {
		var command struct {
			Resource Line `json:"resource"`
		}
		check(json.Unmarshal(commands.Bytes(), &command))
		publisher.publish(command.Resource)
		fmt.Println("{}")
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
