"""Attempts on git: to leave something that the host's own git runs later.

Each plants a program that touches a file outside; the host then runs plain `git status` and
`git checkout` in the workspace, as a user does in another terminal.
"""

import os
import shutil
import subprocess

from hands import all_ways


def program(ground):
    """What the host's git is to run."""
    path = ground.in_workspace("evil.sh", "#!/bin/sh\ntouch '%s/owned'\n" % ground.outside)
    os.chmod(path, 0o755)
    return path


def settings(ground):
    return (
        "[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tfsmonitor = %s\n" % program(ground)
    )


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def hooks(ground):
    """A hook, in place; another folder of hooks; a link in the place of the folder."""
    folder = ground.workspace + "/.git/hooks"
    source = program(ground)

    def hook():
        shutil.copy(source, folder + "/post-checkout")

    def replace():
        os.rename(folder, folder + "-was")
        os.makedirs(ground.workspace + "/evil-hooks", exist_ok=True)
        shutil.copy(source, ground.workspace + "/evil-hooks/post-checkout")
        os.symlink(ground.workspace + "/evil-hooks", folder)

    def over():
        os.makedirs(ground.workspace + "/other", exist_ok=True)
        os.rename(ground.workspace + "/other", folder)

    return all_ways([("a hook", hook), ("a link", replace), ("a folder over it", over)])


def config(ground):
    path = ground.workspace + "/.git/config"

    def append():
        with open(path, "a", encoding="utf-8") as file:
            file.write(settings(ground))

    def replace():
        ground.in_workspace("config", settings(ground))
        os.replace(ground.workspace + "/config", path)

    def by_lock():
        write(path + ".lock", settings(ground))
        os.rename(path + ".lock", path)

    def remove():
        os.unlink(path)
        write(path, settings(ground))

    return all_ways([("append", append), ("replace", replace), ("as git does", by_lock), ("remove", remove)])


def config_after_host_wrote(ground):
    """The host's git renames a new file over the old one, and with it goes a mount that lay there.
    The test has done that before this runs."""
    return config(ground)


def rename_git(ground):
    """The whole folder moved aside and another put in its place."""
    own = ground.workspace + "/.git"

    def move():
        os.rename(own, own + "-was")
        shutil.copytree(own + "-was", own)
        write(own + "/config", settings(ground))

    def pointer():
        os.rename(own, own + "-was2")
        write(own, "gitdir: .git-was2\n")

    return all_ways([("another folder", move), ("a pointer", pointer)])


def common_folder(ground):
    """A file `commondir` makes git look elsewhere for its settings, whatever protects its own."""
    own = ground.workspace + "/.git"
    elsewhere = ground.workspace + "/elsewhere"
    shutil.copytree(own, elsewhere, dirs_exist_ok=True)
    os.unlink(elsewhere + "/config")
    write(elsewhere + "/config", settings(ground))
    write(own + "/commondir", "../elsewhere\n")


def worktree_config(ground):
    """Settings of a single work tree, which are read beside the others: the user has that on."""
    write(ground.workspace + "/.git/config.worktree", settings(ground))


def new_repository(ground):
    """A repository in a workspace that had none."""
    subprocess.run(["git", "init", "--quiet", ground.workspace], check=True)
    write(ground.workspace + "/.git/config", settings(ground))


def new_hooks(ground):
    """The folder of hooks in a repository that had none."""
    folder = ground.workspace + "/.git/hooks"
    os.makedirs(folder)
    shutil.copy(program(ground), folder + "/post-checkout")


def submodule_config(ground):
    """Settings of a submodule lie deeper, and `git status` in the parent reads them."""
    modules = ground.workspace + "/.git/modules"

    def append():
        with open(modules + "/part/config", "a", encoding="utf-8") as file:
            file.write("[core]\n\tfsmonitor = %s\n" % program(ground))

    def replace(folder):
        def work():
            os.rename(folder, folder + "-was")
            shutil.copytree(folder + "-was", folder)
            append()
        return work

    return all_ways([
        ("in place", append),
        ("the module", replace(modules + "/part")),
        ("all modules", replace(modules)),
    ])


def nested(ground):
    """A repository of our own inside the workspace, with settings of our own."""
    path = ground.workspace + "/nested"
    shutil.copytree(ground.workspace + "/.git", path + "/.git")
    os.unlink(path + "/.git/config")
    write(path + "/.git/config", settings(ground))


def bare(ground):
    """A folder that looks like a bare repository, in which git believes to stand."""
    path = ground.workspace + "/planted"
    shutil.copytree(ground.workspace + "/.git", path)
    os.unlink(path + "/config")
    write(path + "/config", settings(ground) + "\tworktree = %s\n" % path)
