#!/bin/bash
cd /vm/cost; nproc; time ./cost $(cat objs)
