#!/usr/bin/env bash
# Starts a SLURM cluster on this machine, for trials and tests: 2 nodes of 4 CPUs, 8 GB and 2 pretended GPUs each, with
# accounting and preemption. Everything it writes lies below the folder given (.cache/slurm), its ports are free ones.
# Standard output is one line, to be copied or eval'ed:  export SLURM_CONF=…
set -euo pipefail
here=$(dirname "$(realpath "$0")")
dir=$(realpath -m "${1:-.cache/slurm}")
packages="slurm-wlm munge slurmdbd mariadb-server-core"
programs=(slurmctld slurmd slurmdbd munged mariadbd sinfo srun sacctmgr)
export PATH="$PATH:/usr/sbin:/sbin" SLURM_CONF="$dir/slurm.conf"

tell() { printf 'slurm: %s\n' "$@" >&2; }
fail() { tell "$@"; exit 1; }
missing() { for program in "${programs[@]}"; do command -v "$program" >/dev/null || echo "$program"; done; }

install_packages() {
  [ -n "$(missing)" ] || return 0
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    fail "there is no $(missing | head -n 1) here. On Debian 12, as root:" "  apt-get install --no-install-recommends $packages"
  fi
  tell "installing $packages"
  { timeout 120 apt-get update -qq && DEBIAN_FRONTEND=noninteractive timeout 400 apt-get install -qq --no-install-recommends $packages; } \
    >&2 </dev/null || fail "apt-get did not finish; what it said stands above"
  [ -z "$(missing)" ] || fail "after the installation there is still no $(missing | head -n 1)"
}

is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_ports() { # four in a row, from a place by chance
  local base port
  for _ in $(seq 100); do
    base=$((20000 + RANDOM % 2000 * 5))
    for port in 0 1 2 3; do is_free $((base + port)) || continue 2; done
    echo "$base"
    return
  done
  fail "no four free ports between 20000 and 30000"
}

fill() { # a template of ours, with this cluster's own values
  sed -e "s#@DIR@#$dir#g" -e "s#@HOST@#$(hostname -s)#g" -e "s#@USER@#$(id -un)#g" \
    -e "s#@CONTROLLER_PORT@#$base#g" -e "s#@ACCOUNTS_PORT@#$((base + 1))#g" \
    -e "s#@NODE1_PORT@#$((base + 2))#g" -e "s#@NODE2_PORT@#$((base + 3))#g" "$here/$1"
}

wait_until() { # seconds, then a command that must not hang
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.2
  done
}

answers() { timeout 20 sacctmgr -n list cluster; }
is_ready() { [ "$(timeout 20 sinfo -h -N -o '%N %T' | awk '$2 == "idle" {print $1}' | sort -u | wc -l)" = 2 ]; }

start_munge() {
  [ -s "$dir/run/munge.key" ] || (umask 077; head -c 1024 /dev/urandom >"$dir/run/munge.key")
  munged --force --key-file="$dir/run/munge.key" --socket="$dir/run/munge.socket" --pid-file="$dir/run/munged.pid" \
    --log-file="$dir/log/munged.log" --seed-file="$dir/run/munged.seed" 9>&- 2>>"$dir/log/munged.log"
}

start_accounts() {
  if [ ! -d "$dir/db/mysql" ]; then # mariadb-install-db would need perl and more; these are its own steps
    mkdir -p "$dir/db"
    { printf 'create database if not exists mysql;\nuse mysql;\n'; cat /usr/share/mysql/mysql_system_tables.sql; } |
      mariadbd --no-defaults --bootstrap --datadir="$dir/db" --user="$(id -un)" >"$dir/log/database_made.log" 2>&1 ||
      fail "the database of accounts could not be made: $dir/log/database_made.log"
  fi
  mariadbd --no-defaults --datadir="$dir/db" --user="$(id -un)" --skip-networking --skip-grant-tables \
    --socket="$dir/run/database.socket" --pid-file="$dir/run/mariadbd.pid" --log-error="$dir/log/mariadbd.log" \
    --innodb-buffer-pool-size=128M --innodb-flush-log-at-trx-commit=0 --innodb-lock-wait-timeout=900 \
    </dev/null >/dev/null 2>&1 9>&- &
  disown
  wait_until 120 test -S "$dir/run/database.socket" || fail "the database does not start: $dir/log/mariadbd.log"
  MYSQL_UNIX_PORT="$dir/run/database.socket" slurmdbd 9>&- 2>>"$dir/log/slurmdbd.log"
  wait_until 120 answers || fail "slurmdbd does not answer: $dir/log/slurmdbd.log"
  timeout 20 sacctmgr -i add cluster trial >/dev/null 2>&1 || true # it may be there already
}

# The socket's path may have 107 characters; munge says nothing where it is longer.
[ ${#dir} -lt 85 ] || fail "the path $dir is too long for a socket"
install_packages
mkdir -p "$dir"/{run,log,state,spool.node1,spool.node2}
chmod 755 "$dir/run" "$dir/log" # munged refuses folders that others may write to

exec 9>"${TMPDIR:-/tmp}/ordinalclip-slurm-$(id -u).lock"
flock -w 120 9 || fail "another cluster has been starting for two minutes"
if [ -f "$SLURM_CONF" ] && is_ready; then
  tell "it is running already"
else
  bash "$here/stop.sh" "$dir" # what is left of one that died
  base=$(free_ports)
  fill slurm.conf.in >"$SLURM_CONF"
  (umask 077; fill slurmdbd.conf.in >"$dir/slurmdbd.conf")
  cp "$here/gres.conf" "$dir/gres.conf"
  trap 'bash "$here/stop.sh" "$dir"' ERR
  start_munge
  start_accounts
  slurmctld -i 9>&- 2>>"$dir/log/slurmctld.log"
  for node in node1 node2; do slurmd -N $node 9>&- 2>>"$dir/log/slurmd.$node.log"; done
  if ! wait_until 180 is_ready || ! timeout 60 srun -N2 true 9>&- >&2; then
    tail -n 5 "$dir"/log/*.log >&2
    bash "$here/stop.sh" "$dir"
    fail "it does not get ready; the ends of its logs stand above"
  fi
fi
tell "2 nodes of 4 CPUs, 8 GB and 2 pretended GPUs; partitions trial and urgent, which preempts"
echo "export SLURM_CONF=$SLURM_CONF"
