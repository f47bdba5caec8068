<?php
require __DIR__ . '/../lib/check.php';

$people = require __DIR__ . '/../lib/people.php';
$wrong = false;
if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    $user = strtolower($_POST['user'] ?? '');
    if (isset($people[$user]) && password_verify($_POST['password'] ?? '', $people[$user]['hash'])) {
        $_SESSION['user'] = $user;
        $_SESSION['seen'] = time();
        header('Location: /members/');
        exit;
    }
    $wrong = true;
}
?>
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Log in · Harbour Workshop</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/assets/site.css">
<main>
  <h1>Log in</h1>
  <?php if ($wrong): ?><p class="note bad">Wrong name or password.</p><?php endif ?>
  <form method="post">
    <label>Name <input name="user" autocomplete="username" required></label>
    <label>Password <input name="password" type="password" autocomplete="current-password" required></label>
    <button>Log in</button>
  </form>
</main>
