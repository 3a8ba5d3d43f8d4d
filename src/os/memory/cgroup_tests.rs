//! Unit tests of `cgroup_linux.rs`: made-up trees in temporary folders.

use tempfile::TempDir;

use super::*;

/// A made-up mount point, and the files below it.
fn tree(files: &[(&str, &str)]) -> TempDir {
    let top = TempDir::new().expect("a temporary folder");
    for (name, text) in files {
        let path = top.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        fs::write(path, text).expect("a file");
    }
    top
}

fn mount(top: &TempDir, root: &str, kind: &str, options: &str) -> String {
    let point = top.path().display();
    format!(
        "22 1 8:1 / / rw - ext4 /dev/root rw\n\
         31 22 0:28 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
         35 31 0:32 {root} {point} rw,relatime shared:9 master:2 - {kind} cgroup {options}\n"
    )
}

fn level(cgroups: &str, mounts: &str) -> Option<Level> {
    Cgroup::limited(cgroups, mounts)?.level()
}

fn of_two(path: &str, files: &[(&str, &str)]) -> Option<Level> {
    let top = tree(files);
    level(
        &format!("0::{path}\n"),
        &mount(&top, "/", "cgroup2", "rw,nsdelegate"),
    )
}

#[test]
fn version_2_counts_what_the_kernel_would_not_drop() {
    let files = [
        ("app/memory.max", "1000\n"),
        ("app/memory.high", "max\n"),
        ("app/memory.current", "700\n"),
        (
            "app/memory.stat",
            "anon 300\nfile 400\ninactive_file 150\nactive_file 250\n",
        ),
    ];
    let expected = Level {
        limit: 1000,
        used: 550,
    };
    assert_eq!(of_two("/app", &files), Some(expected));
}

#[test]
fn version_1_has_other_names_and_a_huge_number_for_no_limit() {
    let files = [
        ("memory.limit_in_bytes", "9223372036854771712\n"),
        ("memory.usage_in_bytes", "5000\n"),
        ("docker/a/memory.limit_in_bytes", "2000\n"),
        ("docker/a/memory.usage_in_bytes", "900\n"),
        (
            "docker/a/memory.stat",
            "inactive_file 7\ntotal_inactive_file 100\n",
        ),
    ];
    let top = tree(&files);
    let mounts = mount(&top, "/", "cgroup", "rw,memory");
    let cgroups = "9:name=systemd:/x\n4:cpu,memory:/docker/a\n0::/\n";
    let expected = Level {
        limit: 2000,
        used: 800,
    };
    assert_eq!(level(cgroups, &mounts), Some(expected));
    assert_eq!(level("4:memory:/\n0::/\n", &mounts), None, "no limit");
    assert_eq!(level("4:cpu:/docker/a\n", &mounts), None, "not memory's");
}

#[test]
fn the_level_with_the_least_room_for_its_size_decides() {
    let outer = |used: &'static str| {
        [
            ("pod/memory.max", "10000"),
            ("pod/memory.current", used),
            ("pod/app/memory.max", "1000"),
            ("pod/app/memory.current", "500"),
        ]
    };
    let limit_of = |level: Option<Level>| level.map(|level| level.limit);
    assert_eq!(limit_of(of_two("/pod/app", &outer("4000"))), Some(1000));
    assert_eq!(limit_of(of_two("/pod/app", &outer("9000"))), Some(10000));
    // Not those beside or below.
    assert_eq!(limit_of(of_two("/pod", &outer("1"))), Some(10000));
}

#[test]
fn the_kernel_slows_processes_down_above_high() {
    let files = [
        ("memory.max", "1000"),
        ("memory.high", "800"),
        ("memory.current", "500"),
    ];
    let expected = Level {
        limit: 800,
        used: 500,
    };
    assert_eq!(of_two("/", &files), Some(expected));
}

#[test]
fn a_container_may_see_the_hosts_path_and_only_its_own_folder() {
    let files = [("memory.max", "1000"), ("memory.current", "1")];
    let top = tree(&files);
    let sees = |path: &str, root: &str| {
        let mounts = mount(&top, root, "cgroup2", "rw");
        level(&format!("0::{path}\n"), &mounts).is_some()
    };
    assert!(
        sees("/docker/1f", "/docker/1f"),
        "bound from the host's tree"
    );
    assert!(sees("/", "/"), "a namespace of its own");
    assert!(sees("/", "/../.."), "mounted outside of that");
    assert!(sees("/../other", "/"), "moved out of it");
    assert!(
        sees("/docker/1f/inner", "/docker/1f"),
        "a folder that is gone"
    );
}

#[test]
fn the_mount_that_shows_the_process_is_taken() {
    let (other, own) = (
        tree(&[("memory.max", "5"), ("memory.current", "1")]),
        tree(&[("app/memory.max", "7"), ("app/memory.current", "1")]),
    );
    let mounts = format!(
        "{}{}",
        mount(&own, "/pod", "cgroup2", "rw"),
        mount(&other, "/elsewhere/deeper", "cgroup2", "rw")
    );
    let found = level("0::/pod/app\n", &mounts);
    assert_eq!(found.map(|level| level.limit), Some(7));
}

#[test]
fn what_cannot_be_read_is_no_limit() {
    let used = ("memory.current", "1");
    assert_eq!(of_two("/", &[]), None);
    assert_eq!(of_two("/", &[("memory.max", "max"), used]), None);
    assert_eq!(of_two("/", &[("memory.max", "a lot"), used]), None);
    assert_eq!(of_two("/", &[("memory.max", "0"), used]), None);
    assert_eq!(of_two("/", &[("memory.max", "-1"), used]), None);
    assert_eq!(of_two("/", &[("memory.max", "1000")]), None);
    let garbage = ("memory.stat", "inactive_file many\n\nx\ninactive_file");
    let expected = Level { limit: 9, used: 1 };
    assert_eq!(
        of_two("/", &[("memory.max", "9"), used, garbage]),
        Some(expected)
    );
    for mounts in [
        "",
        "nonsense",
        "1 2 3 - cgroup2",
        "35 31 0:32 / /x rw - cgroup2 c rw",
    ] {
        assert_eq!(level("0::/\n", mounts), None);
        assert_eq!(level("nonsense\n:\n4:memory\n", mounts), None);
    }
}

#[test]
fn blanks_in_the_names_of_mount_points() {
    assert_eq!(unescaped("/a\\040b\\134040"), "/a b\\040");
}
