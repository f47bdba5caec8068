<?php
// A front controller under PHP's own server. It offers what applications route by: the raw target, decoded or not,
// PATH_INFO, and the target as PHP's parser of URLs takes it apart.
$target = explode('?', $_SERVER['REQUEST_URI'], 2)[0];
$parsed = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
$read = [$target, rawurldecode($target), urldecode($target)];
if (is_string($parsed)) {
    array_push($read, $parsed, rawurldecode($parsed));
}
if (isset($_SERVER['PATH_INFO'])) {
    // As Symfony and Laravel do it: the path below the script is the path below the script's folder.
    $read[] = rtrim(dirname($_SERVER['SCRIPT_NAME']), '/') . $_SERVER['PATH_INFO'];
} elseif (!isset($handler)) {
    $read[] = $_SERVER['PHP_SELF'];
}
$handler = $handler ?? 'any';
foreach (['public', 'page', 'admin', 'members'] as $name) {
    if (preg_match("#^/$name(/|\$)#", rawurldecode($target))) {
        $handler = $name;
    }
}
if (rawurldecode($target) === '/') {
    $handler = 'root';
}
header('Content-Type: text/plain');
echo implode("\n", [$handler, ...$read]);
