#!/usr/bin/env bash
# Stops the cluster that start.sh started in the folder given (.cache/slurm). Its accounts and job numbers are kept.
set -euo pipefail
dir=$(realpath -m "${1:-.cache/slurm}")
export PATH="$PATH:/usr/sbin:/sbin" SLURM_CONF="$dir/slurm.conf"

is_ours() { # a process of that name whose command line or files name the folder: numbers are given out again
  local name
  name=$(cat "/proc/$1/comm" 2>/dev/null) || return 1
  [ "$name" = "${2%%.*}" ] && grep -qF "$dir" "/proc/$1/environ" "/proc/$1/cmdline" 2>/dev/null
}

stop() { # a daemon by its pid file
  local pid
  pid=$(cat "$dir/run/$1.pid" 2>/dev/null) && [ -n "$pid" ] && is_ours "$pid" "$1" || return 0
  kill "$pid" 2>/dev/null || return 0
  for _ in $(seq 50); do
    is_ours "$pid" "$1" || return 0
    sleep 0.2
  done
  kill -KILL "$pid" 2>/dev/null || true
}

stop_steps() { # jobs of this cluster that outlived their node's daemon
  local file pid
  for file in $(grep -lzxF "SLURM_CONF=$SLURM_CONF" /proc/[0-9]*/environ 2>/dev/null); do
    pid=${file//[!0-9]/}
    if [ "$pid" != $$ ] && [ "$pid" != $PPID ] && grep -qz '^SLURM_JOB_ID=' "$file" 2>/dev/null; then
      kill -KILL "$pid" 2>/dev/null || true
    fi
  done
  for file in $(grep -lx slurmstepd /proc/[0-9]*/comm 2>/dev/null); do # these clear their environment
    pid=${file//[!0-9]/}
    case $(readlink "/proc/$pid/cwd") in "$dir"/*) kill -KILL "$pid" 2>/dev/null || true ;; esac
  done
}

if [ -f "$SLURM_CONF" ] && [ -e "$dir/run/slurmctld.pid" ]; then
  timeout 5 scancel --user="$(id -un)" >/dev/null 2>&1 || true
  timeout 5 scancel --signal=KILL --user="$(id -un)" >/dev/null 2>&1 || true
fi
for daemon in slurmd.node1 slurmd.node2 slurmctld slurmdbd munged mariadbd; do stop $daemon; done
stop_steps
rm -f "$dir"/run/*.pid
