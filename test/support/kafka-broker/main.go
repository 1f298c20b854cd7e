// Command kafka-broker is the Kafka broker that tests run against: kfake of franz-go, which speaks the Kafka protocol but shares no code with
// the Apache Kafka broker, nor with our client. It keeps what it is given on disk, each batch synced, and goes on from there when it is
// started again.
//
//	kafka-broker PORT DATA_DIR TOPIC [MAX_MESSAGE_BYTES [CERT KEY [USER PASSWORD]]]
package main

import (
	"crypto/tls"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/twmb/franz-go/pkg/kfake"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

func run(args []string) error {
	opts, err := options(args)
	if err != nil {
		return err
	}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		return err
	}
	defer cluster.Close()
	fmt.Println("ready")
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
	<-end
	return nil
}

func options(args []string) ([]kfake.Opt, error) {
	if len(args) < 3 {
		return nil, fmt.Errorf("usage: kafka-broker PORT DATA_DIR TOPIC [MAX_MESSAGE_BYTES [CERT KEY [USER PASSWORD]]]")
	}
	port, err := strconv.Atoi(args[0])
	if err != nil {
		return nil, err
	}
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.Ports(port),
		kfake.DataDir(args[1]),
		kfake.SyncWrites(),
		kfake.SeedTopics(3, args[2]),
	}
	if len(args) > 3 {
		opts = append(opts, kfake.BrokerConfigs(map[string]string{"message.max.bytes": args[3]}))
	}
	if len(args) > 5 {
		certificate, err := tls.LoadX509KeyPair(args[4], args[5])
		if err != nil {
			return nil, err
		}
		opts = append(opts, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{certificate}}))
	}
	if len(args) > 7 {
		opts = append(opts, kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", args[6], args[7]))
	}
	return opts, nil
}
