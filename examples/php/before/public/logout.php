<?php
require __DIR__ . '/../lib/check.php';
unset($_SESSION['user']);
header('Location: /');
