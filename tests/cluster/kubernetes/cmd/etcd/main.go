// etcd. Its own module has replace directives, so `go install` refuses it; importing it works.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
