# The last step inside bubblewrap: is limited, gives up root, is looked at, confines itself, becomes the program.
# Does the same as gate.py, in a tenth of its start time. Arguments: see start.py; words: see process.py.
use strict;
my ($gate, $ruleset, $restrict, $uid, $setgroups, $setresgid, $setresuid, $directory) = splice @ARGV, 0, 8;
open(my $channel, '+<&=', $gate) or exit 125;
open(my $rules, '<&=', $ruleset) or exit 125 if $ruleset >= 0;
sub fail { syswrite($channel, "E$_[0]: $!\n"); exit 125 }
fcntl($channel, 2, 1) or fail('close-on-exec');    # F_SETFD, FD_CLOEXEC
if ($rules) { fcntl($rules, 2, 1) or fail('close-on-exec') }
my $go;
syswrite($channel, 'H') == 1 or exit 125;
sysread($channel, $go, 262144) && $go eq 'L' or exit 125;
if ($uid >= 0) {
    syscall($setgroups + 0, 0, 0) == 0 or fail('setgroups');
    syscall($setresgid + 0, $uid + 0, $uid + 0, $uid + 0) == 0 or fail('setresgid');
    syscall($setresuid + 0, $uid + 0, $uid + 0, $uid + 0) == 0 or fail('setresuid');
}
syswrite($channel, 'R') == 1 or exit 125;
sysread($channel, $go, 262144) or exit 125;
my ($word, @environment) = split(/\0/, $go);
$word eq 'G' or exit 125;
chdir($directory) or fail('working directory');
if ($rules) { syscall($restrict + 0, $ruleset + 0, 0) == 0 or fail('landlock') }
%ENV = map { /^([^=]+)=(.*)$/s ? ($1, $2) : () } @environment;
no warnings;
exec { $ARGV[0] } @ARGV;
fail("cannot execute $ARGV[0]");
