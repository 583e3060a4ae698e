#!/usr/bin/env bash
# A real Slurm cluster of one node on the loopback interface, for tests. Needs root, and Debian's slurm-wlm and munge.
#
#   export SLURM_CONF=$(scripts/slurm_test_cluster.sh up)
#   scripts/slurm_test_cluster.sh down
#
# Each cluster has a separate folder, ports and munge daemon, so several can run side by side.
# CPUS=N sets the number of CPUs that the node claims (4 by default), more than it has, so that several jobs run at once.
set -euo pipefail

check_requirements() {
    for program in munged slurmctld slurmd sbatch; do
        command -v "$program" >/dev/null || {
            echo "slurm_test_cluster.sh: error: there is no $program; run apt-get install slurm-wlm munge" >&2
            exit 2
        }
    done
    [ "$(id -u)" = 0 ] || { echo "slurm_test_cluster.sh: error: must run as root" >&2; exit 2; }
}

free_ports() {
    python3 - <<'PYTHON'
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(each.getsockname()[1] for each in sockets))
PYTHON
}

up() {
    check_requirements
    local home ctld_port slurmd_port
    home=$(mktemp --directory --tmpdir modernet-slurm-XXXXXX)
    export SLURM_CONF=$home/slurm.conf
    mkdir "$home/state" "$home/spool" "$home/munge"
    chmod 755 "$home" "$home/munge"
    mungekey --create --keyfile="$home/munge/key"
    munged --key-file="$home/munge/key" --socket="$home/munge/socket" --pid-file="$home/munged.pid" \
        --log-file="$home/munge/log" --seed-file="$home/munge/seed"
    read -r ctld_port slurmd_port < <(free_ports)
    cat >"$SLURM_CONF" <<CONF
ClusterName=modernet
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=root
SlurmctldPort=$ctld_port
SlurmdPort=$slurmd_port
AuthType=auth/munge
StateSaveLocation=$home/state
SlurmdSpoolDir=$home/spool
SlurmctldPidFile=$home/slurmctld.pid
SlurmdPidFile=$home/slurmd.pid
SlurmctldLogFile=$home/slurmctld.log
SlurmdLogFile=$home/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2,batch_sched_delay=1
# A requeued job waits until its credential expires: two minutes by default.
AuthInfo=cred_expire=5,socket=$home/munge/socket
KillWait=5
ReturnToService=2
SlurmdParameters=config_overrides
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=${CPUS:-4} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
    slurmctld
    slurmd
    for _ in $(seq 60); do
        if [ "$(sinfo --noheader --format=%t 2>/dev/null)" = idle ]; then
            echo "$SLURM_CONF"
            return
        fi
        sleep 0.5
    done
    echo "slurm_test_cluster.sh: error: the node does not start" >&2
    tail --lines=5 "$home"/*.log >&2
    down
    exit 1
}

down() {
    local home pid
    : "${SLURM_CONF:?must be the path that up printed}"
    home=$(dirname "$SLURM_CONF")
    [ -f "$home/munged.pid" ] || { echo "slurm_test_cluster.sh: error: $home is not a cluster of this script" >&2; exit 2; }
    scancel --user=root 2>/dev/null || true
    for daemon in slurmd slurmctld munged; do
        pid=$(cat "$home/$daemon.pid" 2>/dev/null) || continue
        kill "$pid" 2>/dev/null || true
        while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done  # it writes its state before it exits
    done
    rm -rf "$home"
}

case "${1:-}" in
up | down) "$1" ;;
*)
    echo "slurm_test_cluster.sh: error: allowed: up, down" >&2
    exit 2
    ;;
esac
