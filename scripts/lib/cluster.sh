# Sourced by scripts/cluster and scripts/demo: the local cluster of conf/local-cluster.

cluster_conf=$root/conf/local-cluster
cluster_state=${TERN_CLUSTER_DIR:-$build/local-cluster}
cluster_nodes="0 1 2"
cluster_service=${TERN_CLUSTER_SERVICE:-auction}
cluster_shm=/dev/shm/tern-${USER:-$(id -un)}

# node_env N: prints the environment of a node, one assignment per line.
node_env() {
    grep -hv -e "^#" -e "^$" "$cluster_conf/node$1.env"
    printf '%s\n' "AERON_DIR=$cluster_shm-$1" "AERON_ARCHIVE_DIR=$cluster_state/node$1/archive" \
        "AERON_CLUSTER_DIR=$cluster_state/node$1/cluster" "TERN_BUILD=$build"
}

# load_node N: its environment into the array node_assignments.
load_node() { mapfile -t node_assignments < <(node_env "$1"); }

# in_node N COMMAND ...: runs a command in the environment of a node.
in_node() {
    local -a node_assignments
    load_node "$1"
    env "${node_assignments[@]}" "${@:2}"
}

# node_pid N: process (and group) of the node; empty when it is down.
node_pid() {
    local pid
    pid=$(cat "$cluster_state/node$1/pid" 2>/dev/null) || return 0
    # The number may belong to somebody else by now.
    if [ -n "$pid" ] && grep -qs 'scripts/node' "/proc/$pid/cmdline"; then
        echo "$pid"
    fi
}

node_start() {
    local directory=$cluster_state/node$1
    local -a node_assignments
    [ -z "$(node_pid "$1")" ] || return 0
    mkdir -p "$directory"
    rm -f "$directory/pid"
    load_node "$1"
    # A node leads its own process group, so that it can be killed as a whole. Nothing of this
    # shell's descriptors goes along.
    env "${node_assignments[@]}" setsid bash -c 'echo $$ >"$1/pid" && exec "$2/scripts/node" --base "$1" --conf "$3" \
        --services "$4"' node "$directory" "$root" "$cluster_conf" "$cluster_service" \
        </dev/null >>"$directory/node.log" 2>&1 &
    disown
    wait_until 10 test -s "$directory/pid"
}

node_kill() {
    local pid
    pid=$(node_pid "$1")
    [ -z "$pid" ] || kill -KILL -- "-$pid"
}

# wait_until SECONDS COMMAND ...: polls the command; false when the time is over.
wait_until() {
    local deadline_us=$((${EPOCHREALTIME/./} + $1 * 1000000))
    shift
    until "$@"; do
        [ "${EPOCHREALTIME/./}" -lt "$deadline_us" ] || return 1
        sleep 0.05
    done
}

node_is_down() { [ -z "$(node_pid "$1")" ]; }

node_stop() {
    local pid
    pid=$(node_pid "$1")
    [ -n "$pid" ] || return 0
    kill -TERM "$pid"
    wait_until 20 node_is_down "$1" || node_kill "$1"
}

# node_state N: "ELECTION_STATE ROLE TERM" by the counters of a running node (17: the election is
# over; role 2: leader); false when it has none.
node_state() {
    [ -n "$(node_pid "$1")" ] || return 1
    in_node "$1" "$(program ternctl)" stat 2>/dev/null | awk '
        / - Cluster election state / { election = $2 }
        / - Cluster node role / { role = $2 }
        / - Cluster leadership term id / { term = $2 }
        END { if (election == "") exit 1; print election, role, term }'
}

# cluster_leader: the member id of the leader; false while there is none. Of two that think so the
# one of the later term is right.
cluster_leader() {
    local node election role term leader= leader_term=-1
    for node in $cluster_nodes; do
        read -r election role term < <(node_state "$node") || continue
        if [ "$election" = 17 ] && [ "$role" = 2 ] && [ "$term" -gt "$leader_term" ]; then
            leader=$node leader_term=$term
        fi
    done
    [ -n "$leader" ] && echo "$leader"
}

# is_member N: node N has found its leader or is it.
is_member() {
    local state
    state=$(node_state "$1") && [ "${state%% *}" = 17 ]
}

has_leader() { cluster_leader >/dev/null; }
