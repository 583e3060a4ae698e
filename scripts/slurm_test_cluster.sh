#!/usr/bin/env bash
# A real Slurm cluster of one node on the loopback interface, for tests. Needs root, and Debian's slurm-wlm and munge.
#
#   scripts/slurm_test_cluster.sh up      # then, in a shell: export SLURM_CONF=/tmp/modernet-slurm/slurm.conf
#   scripts/slurm_test_cluster.sh down
#
# CPUS=N sets the number of CPUs that the node claims (4 by default), more than it has, so that several jobs run at once.
set -euo pipefail
home=/tmp/modernet-slurm
conf=$home/slurm.conf
export SLURM_CONF=$conf

check_requirements() {
    for program in munged slurmctld slurmd sbatch; do
        command -v "$program" >/dev/null || {
            echo "slurm_test_cluster.sh: error: there is no $program; run apt-get install slurm-wlm munge" >&2
            exit 2
        }
    done
    [ "$(id -u)" = 0 ] || { echo "slurm_test_cluster.sh: error: must run as root" >&2; exit 2; }
}

up() {
    check_requirements
    mkdir -p "$home/state" "$home/spool"
    # munge authenticates messages. It requires that its user owns its folders and that nobody else can write to them.
    [ -s /etc/munge/munge.key ] || mungekey --create --force
    mkdir -p /run/munge /var/log/munge /var/lib/munge
    chown munge: /etc/munge/munge.key /run/munge /var/log/munge /var/lib/munge
    chmod 755 /run/munge
    if ! munge --no-input >/dev/null 2>&1; then
        setpriv --reuid munge --regid munge --clear-groups munged
        touch "$home/munged_started_here"
    fi
    cat >"$conf" <<CONF
ClusterName=modernet
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=root
SlurmctldPort=16817
SlurmdPort=16818
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
AuthInfo=cred_expire=5
KillWait=5
ReturnToService=2
SlurmdParameters=config_overrides
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=${CPUS:-4} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
    scontrol ping >/dev/null 2>&1 && { echo "$conf"; return; }
    slurmctld
    slurmd
    for _ in $(seq 60); do
        if [ "$(sinfo --noheader --format=%t 2>/dev/null)" = idle ]; then
            echo "$conf"
            return
        fi
        sleep 0.5
    done
    echo "slurm_test_cluster.sh: error: the node does not start" >&2
    tail --lines=5 "$home"/*.log >&2
    exit 1
}

down() {
    [ -f "$conf" ] || return 0
    scancel --user=root 2>/dev/null || true
    for daemon in slurmd slurmctld; do
        pid=$(cat "$home/$daemon.pid" 2>/dev/null) || continue
        kill "$pid" 2>/dev/null || true
        while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done  # it writes its state before it exits
    done
    [ -f "$home/munged_started_here" ] && kill "$(cat /run/munge/munged.pid)" 2>/dev/null || true
    rm -rf "$home"
}

case "${1:-}" in
up | down) "$1" ;;
*)
    echo "slurm_test_cluster.sh: error: allowed: up, down" >&2
    exit 2
    ;;
esac
