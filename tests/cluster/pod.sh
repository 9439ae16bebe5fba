#!/bin/sh
# A pod that is a process: it has a folder of its own, the code that is brought to it, and no other file of the call.
#   pod.sh start SCRIPT    starts it and says its name; one that trains is killed, where a file "kill" asks for that once
#   pod.sh state NAME      what Snakemake wants to know of it
case $1 in
start)
    pod=$(mktemp -d "$PODS/XXXXXX") && cp "$2" "$pod/job" && cd "$pod" || exit 1
    if grep -q 'train:' job && rm "$PODS/kill" 2>/dev/null; then
        echo 137 >code
    else
        setsid sh -c 'sh ./job >log 2>&1; echo $? >code' >/dev/null 2>&1 &
        echo $! >group
    fi
    echo "$pod"
    ;;
state)
    case $(cat "$2/code" 2>/dev/null) in
    "") echo running ;;
    0) echo success ;;
    *) echo failed ;;
    esac
    ;;
esac
