# SPDX-License-Identifier: Apache-2.0
"""Open vSwitch as an exporter, for tests and for scripts/corpus-capture; needs root, and nothing but Python."""
import os
import re
import socket
import subprocess
import sys
import time

import traffic

# Opens a socket where it runs, and hands it to whoever has the other end of the pair.
LISTEN = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
s.bind(("127.0.0.1", 0))
socket.send_fds(socket.socket(fileno=int(sys.argv[1])), [b"s"], [s.fileno()])
"""


def wait_for(what, seconds):
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            raise RuntimeError("waited in vain")
        time.sleep(0.05)


class Switch:
    """Open vSwitch without its kernel module, in a network namespace of its own: what comes in at pa goes out at pb, and
    the other way; va and vb are the far ends of their cables.  Its processes hold all there is: with them it is gone."""

    SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"

    def __init__(self, folder):
        self.folder, self.children = folder, []
        self.environment = dict(os.environ, OVS_RUNDIR=folder, OVS_DBDIR=folder, OVS_LOGDIR=folder)
        holder = self.begin("unshare", "--net", "sleep", "100")
        mine = os.stat("/proc/self/ns/net").st_ino
        wait_for(lambda: os.stat(f"/proc/{holder.pid}/ns/net").st_ino != mine, 5)
        self.within = ("nsenter", f"--net=/proc/{holder.pid}/ns/net")

    def begin(self, *command):
        with open(os.path.join(self.folder, "switch.log"), "a", encoding="utf-8") as log:
            self.children.append(subprocess.Popen(command, stdout=log, stderr=log, env=self.environment))
        return self.children[-1]

    def run(self, *command, pass_fds=()):
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, env=self.environment, check=False, pass_fds=pass_fds)
        if done.returncode != 0:
            raise RuntimeError(f"{command}: {done.stdout}{done.stderr}\n{self.log()}")
        return done.stdout

    def cables(self):
        # No address of IPv6's own making: nothing but our frames is on them.
        self.run(*self.within, "sh", "-euc", """
            [ ! -e /proc/sys/net/ipv6 ] || echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
            ip link set lo up
            for c in a b; do
                ip link add v$c type veth peer name p$c
                ip link set v$c up
                ip link set p$c up
            done""")

    def start(self):
        socket, database = os.path.join(self.folder, "db.sock"), os.path.join(self.folder, "conf.db")
        self.run("ovsdb-tool", "create", database, self.SCHEMA)
        self.begin(*self.within, "ovsdb-server", database, f"--remote=punix:{socket}", f"--unixctl={self.folder}/db.ctl")
        wait_for(lambda: os.path.exists(socket), 10)
        self.database = f"unix:{socket}"
        self.vsctl("--no-wait init")
        self.begin(*self.within, "ovs-vswitchd", self.database, f"--unixctl={self.folder}/vs.ctl", "--disable-system")
        self.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev fail_mode=secure"
                   " -- add-port br0 pa -- set interface pa ofport_request=1 -- add-port br0 pb -- set interface pb ofport_request=2")
        self.ofctl("add-flow", "in_port=1,actions=output:2")
        self.ofctl("add-flow", "in_port=2,actions=output:1")

    def vsctl(self, words):
        return self.run("ovs-vsctl", f"--db={self.database}", "--timeout=15", *words.split())

    def ofctl(self, command, *words):
        return self.run("ovs-ofctl", command, f"{self.folder}/br0.mgmt", *words)

    def appctl(self, *words):
        return self.run("ovs-appctl", "-t", f"{self.folder}/vs.ctl", *words)

    def send(self, path):
        """The capture's frames; the times before and after each, in nanoseconds."""
        said = self.run(*self.within, sys.executable, traffic.__file__, path, "va", "vb")
        return [tuple(map(int, line.split())) for line in said.splitlines()]

    def export(self, ipfix_port, v5_port):
        self.vsctl(f'-- set Bridge br0 ipfix=@i -- --id=@i create IPFIX targets="127.0.0.1:{ipfix_port}" obs_domain_id=123 '
                   "obs_point_id=456 sampling=1 cache_active_timeout=60 cache_max_flows=2000 other_config:virtual_obs_id=lab-vobs")
        self.vsctl(f'-- set Bridge br0 netflow=@n -- --id=@n create NetFlow targets="127.0.0.1:{v5_port}" active_timeout=1 '
                   "engine_id=9 engine_type=3")

    def sample(self, *ports):
        """sFlow of every packet, and of the interfaces' counters once a second, to each of these ports."""
        targets = ",".join(f'"127.0.0.1:{port}"' for port in ports)
        self.vsctl(f"-- set Bridge br0 sflow=@s -- --id=@s create sFlow agent=lo targets=[{targets}] header=128 sampling=1 polling=1")

    def listen(self):
        """A socket of the namespace, which keeps what comes until it is read."""
        mine, its = socket.socketpair()
        with mine, its:
            self.run(*self.within, sys.executable, "-c", LISTEN, str(its.fileno()), pass_fds=[its.fileno()])
            (number,) = socket.recv_fds(mine, 1, 1)[1]
        return socket.socket(fileno=number)

    def interfaces(self):
        """Numbers that the kernel gave them, by name."""
        return {name: int(number) for number, name in re.findall(r"^(\d+): (\w+)", self.run(*self.within, "ip", "link"), re.M)}

    def received(self):
        """(packets, octets) that came into the bridge at each port, as it counts them itself."""
        return {int(port): (int(packets), int(octets)) for port, packets, octets in
                re.findall(r"port +(\d+): rx pkts=(\d+), bytes=(\d+)", self.ofctl("dump-ports"))}

    def seen(self, packets):
        """What the bridge says of its IPFIX, by name, once it has seen so many packets."""
        said = {k.strip(): int(v) for k, v in re.findall(r"([a-z][a-z0-9 ]*)=(\d+)", self.ofctl("dump-ipfix-bridge"))}
        return said if said["sampled pkts"] >= packets else None

    def flush(self):
        """All flows go out: IPFIX when its exporter goes, v5 when the datapath forgets; a flow that never came into the
        datapath, which a busy machine makes, goes by its timeout, within 3 seconds."""
        self.vsctl("clear Bridge br0 ipfix")
        self.appctl("revalidator/purge")

    def log(self):
        with open(os.path.join(self.folder, "switch.log"), encoding="utf-8") as f:
            return f.read()[-4000:]

    def close(self):
        for child in reversed(self.children):
            child.terminate()
            try:
                child.wait(timeout=10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
